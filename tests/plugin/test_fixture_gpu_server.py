"""``gpu_server``: the server under test in ordinary tests."""

from __future__ import annotations

import pytest

from pytest_gpuvisibility.resources import shipped_directory

TWINS = shipped_directory("fixtures") / "twins"
EXAMPLE = """
    def test_workers_keep_to_the_mask(gpu_server):
        fleet = gpu_server.launch(visible="4,6", groups=2, devices=1)
        assert fleet.ready, fleet.stderr
        fourth, sixth = gpu_server.inventory.devices[4], gpu_server.inventory.devices[6]
        assert [worker.uses(1) for worker in fleet.workers] == [(fourth.uuid,), (sixth.uuid,)]

    def test_the_same_launch_is_made_once(gpu_server):
        first = gpu_server.launch(visible="4,6", groups=2, devices=1)
        assert gpu_server.launch([4, 6], groups=2).began == first.began
        assert gpu_server.launch("4,6", groups=2, ending="SIGKILL").began != first.began

    def test_who_it_is(gpu_server):
        assert (gpu_server.name, gpu_server.profile.product.name) == ("twin", "twin")
        assert gpu_server.version[0].isdigit()
"""


def test_the_example_of_the_docstring(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(EXAMPLE)
    pytester.runpytest_subprocess(f"--gpu-server={TWINS / 'correct.toml'}").assert_outcomes(passed=3)


def test_the_ini_key_and_the_machine_of_the_option(pytester: pytest.Pytester) -> None:
    pytester.makeini(f"[pytest]\ngpu_server = {TWINS / 'correct.toml'}\ngpu_inventory = a100x4\n")
    pytester.makepyfile(
        """
        def test_it(gpu_server):
            fleet = gpu_server.launch(visible="3")
            assert fleet.permitted == (gpu_server.inventory.devices[3].uuid,)
        """
    )
    pytester.runpytest_subprocess("-n1").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "there is no --gpu-server"),
        (("--gpu-server=driver", "--gpu-inventory=a100x2"), "--gpu-server=driver is none"),
    ],
)
def test_without_a_server_the_test_says_what_to_give(
    pytester: pytest.Pytester, options: tuple[str, ...], words: str
) -> None:
    pytester.makepyfile("def test_it(gpu_server): pass")
    result = pytester.runpytest_subprocess(*options)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [f"*The fixture gpu_server launches a server, and {words}. Give --gpu-server=NAME or =FILE, or gpu_server in*"]
    )


def test_a_field_that_does_not_exist_is_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(gpu_server): gpu_server.launch(visable='4')")
    result = pytester.runpytest_subprocess(f"--gpu-server={TWINS / 'correct.toml'}")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*TypeError: *visable*"])
