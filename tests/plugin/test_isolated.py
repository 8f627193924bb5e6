"""Tests in a process of their own: the marker ``gpu_isolated``, ``--gpu-isolate``, and where it comes by itself."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from places import program
from simulated_programs import played_as_real


@pytest.fixture(autouse=True)
def seen(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(program("seen.py"), pytester.path)
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))


def run(pytester: pytest.Pytester, text: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(text)
    return pytester.runpytest_subprocess(*arguments)


EACH_ITS_OWN = """
import os, pytest, seen

HERE = os.getpid()

@pytest.mark.gpu_isolated
@pytest.mark.gpu_visibility("1")
def test_one(gpu_visibility):
    assert seen.holding(seen.by_ctypes) == [gpu_visibility.devices[0].uuid]

@pytest.mark.gpu_isolated
@pytest.mark.gpu_inventory("mixed4")
def test_other(gpu_visibility):
    assert seen.holding(seen.by_ctypes) == [device.uuid for device in gpu_visibility.devices]
    assert seen.by_nvml() == [device.uuid for device in gpu_visibility.devices]

@pytest.mark.gpu_isolated
@pytest.mark.no_gpu
def test_none():
    assert seen.by_ctypes() == []

def test_plain():
    assert os.getpid() == {here}
"""


def test_each_has_the_gpus_that_it_was_given(pytester: pytest.Pytester) -> None:
    result = run(pytester, EACH_ITS_OWN.format(here="HERE"))
    result.assert_outcomes(passed=4)


@pytest.mark.parametrize("parallel", [(), ("-n2",)], ids=["alone", "xdist"])
def test_the_option_isolates_every_test_that_has_gpus_of_its_own(
    pytester: pytest.Pytester, parallel: tuple[str, ...]
) -> None:
    result = run(
        pytester,
        """
        import os, pytest, seen

        HERE = os.getppid()

        @pytest.mark.parametrize("device", ["0", "1", "2"])
        def test_narrowed(gpu_visibility, device):
            gpu_visibility.set(device)
            assert seen.holding(seen.by_ctypes) == [gpu_visibility.devices[0].uuid]

        def test_plain():
            assert not seen.loaded() or seen.initialised() is False
        """,
        "--gpu-isolate",
        "--gpu-inventory=a100x4",
        *parallel,
    )
    result.assert_outcomes(passed=4)


@pytest.mark.parametrize("parallel", [(), ("-n2",)], ids=["alone", "xdist"])
def test_the_machines_of_a_run_are_said_once(pytester: pytest.Pytester, parallel: tuple[str, ...]) -> None:
    result = run(
        pytester,
        """
        import pytest

        @pytest.mark.gpu_inventory("a100x2")
        def test_here(): pass

        @pytest.mark.gpu_isolated
        @pytest.mark.gpu_inventory("mixed4")
        def test_there(): pass
        """,
        *parallel,
    )
    said = [line for line in result.stdout.lines if "simulated machine" in line]
    assert said == ["gpu-visibility: 2 tests run on simulated machines: a100x2, mixed4"]


def test_the_ini_key_does_too(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ngpu_isolate = true\n")
    result = run(
        pytester,
        """
        import seen

        def test_first(gpu_visibility): seen.hold(0); gpu_visibility.set
        def test_second(gpu_machine): assert seen.by_ctypes() == [device.uuid for device in gpu_machine.devices]
        """,
    )
    result.assert_outcomes(passed=2)


# ---- as usual ----


def test_what_a_test_shows_is_shown_as_usual(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import logging, pytest, sys, warnings

        pytestmark = pytest.mark.gpu_isolated

        def test_assert():
            print("said on stdout")
            print("said on stderr", file=sys.stderr)
            logging.warning("logged")
            found = {"a": 1}
            assert found == {"a": 2}

        def test_skipped(): pytest.skip("for a reason")

        @pytest.mark.xfail
        def test_expected(): assert False

        def test_property(record_property): record_property("key", "value")

        @pytest.fixture
        def broken():
            yield
            raise RuntimeError("at the end")

        def test_teardown(broken): pass

        def test_warning(): warnings.warn("careful", stacklevel=1)
        """,
        "-rs",
        "-Wdefault",
        "--junitxml=report.xml",
    )
    result.assert_outcomes(passed=3, failed=1, skipped=1, xfailed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_teardown*",
            "*RuntimeError: at the end*",
            "E * AssertionError: assert {'a': 1} == {'a': 2}*",
            "*Captured stdout call*",
            "said on stdout",
            "*Captured stderr call*",
            "said on stderr",
            "*Captured log call*",
            "*logged*",
            "*UserWarning: careful*",
            "SKIPPED * for a reason",
        ],
        consecutive=False,
    )
    report = Path(pytester.path, "report.xml").read_text()
    assert 'name="key" value="value"' in report
    assert report.count("<testcase ") == 6


def test_fixtures_of_all_scopes_are_there_and_torn_down(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pathlib, pytest

        @pytest.fixture(scope="session")
        def wide(tmp_path_factory):
            yield tmp_path_factory.mktemp("wide")
            pathlib.Path("torn-down").touch()

        @pytest.mark.gpu_isolated
        @pytest.mark.parametrize("number", [1, 2])
        def test_wide(wide, number, tmp_path):
            assert wide.is_dir() and tmp_path.is_dir()

        def test_after():
            assert pathlib.Path("torn-down").exists()
        """,
    )
    result.assert_outcomes(passed=3)


def test_the_assert_of_a_conftest_and_its_plugins_are_there(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(early="import pytest\n@pytest.fixture\ndef early(): return 1\n")
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef late(early): return early + 1\n")
    result = run(
        pytester,
        "import pytest\n@pytest.mark.gpu_isolated\ndef test_it(late, request): assert late == 2\n",
        "-p",
        "early",
    )
    result.assert_outcomes(passed=1)


EDITABLE = ("-W", "ignore:Module already imported so cannot be rewritten; _editable:pytest.PytestAssertRewriteWarning")
"""scikit-build-core's editable install has a module of its own that pytest warns of."""


def test_pytest_does_not_warn_of_what_the_process_has_imported_already(pytester: pytest.Pytester) -> None:
    """pytest marks all of an installed plugin's package for rewriting, as this conftest does of an editable install."""
    pytester.makeconftest("import pytest\npytest.register_assert_rewrite('pytest_gpuvisibility')\n")
    result = run(pytester, "import pytest\n@pytest.mark.gpu_isolated\ndef test_it(): pass\n", "-Werror", *EDITABLE)
    result.assert_outcomes(passed=1)


def test_maxfail_and_selection_are_the_whole_runs(pytester: pytest.Pytester) -> None:
    text = "import pytest\npytestmark = pytest.mark.gpu_isolated\n" + "".join(
        f"def test_{number}(): assert False\n" for number in range(3)
    )
    result = run(pytester, text, "-x", "-k", "test_1 or test_2")
    result.assert_outcomes(failed=1, deselected=1)
    again = pytester.runpytest_subprocess("--last-failed")
    again.assert_outcomes(failed=1)


# ---- processes that end otherwise ----


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("os.kill(os.getpid(), 9)", "Killed (SIGKILL) ended the run in the process of this test, *::test_ends."),
        ("os._exit(3)", "Exit code 3 ended the run before its end in the process of this test, *::test_ends."),
    ],
)
def test_a_process_that_dies_fails_its_test_alone(pytester: pytest.Pytester, code: str, told: str) -> None:
    text = f"""
        import os, pytest

        pytestmark = pytest.mark.gpu_isolated

        def test_ends(): {code}
        def test_next(): pass
        """
    result = run(pytester, text)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([told])


def test_a_time_out_is_told_of_by_the_test_itself(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest, time

        @pytest.mark.gpu_isolated
        @pytest.mark.timeout(1)
        def test_sleeps():
            a_value_of_the_test = 1
            time.sleep(60)

        def test_next(): pass
        """,
        "--showlocals",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E * Timeout *", "a_value_of_the_test = 1"])


def test_exit_ends_the_whole_run(pytester: pytest.Pytester) -> None:
    text = "import pytest\n@pytest.mark.gpu_isolated\ndef test_it(): pytest.exit('enough')\ndef test_next(): pass\n"
    result = run(pytester, text)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*enough*"])


def test_nothing_outlives_a_run_that_is_killed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os, pathlib, pytest, time

        @pytest.mark.gpu_isolated
        def test_waits():
            pathlib.Path("pids.part").write_text(f"{os.getpid()} {os.getppid()}")
            os.rename("pids.part", "pids")
            time.sleep(60)
        """
    )
    with pytester.popen([*pytester._getpytestargs()]) as process:
        pids = pytester.path / "pids"
        wait_until(pids.exists)
        process.send_signal(signal.SIGKILL)
    for pid in map(int, pids.read_text().split()):
        wait_until(lambda pid=pid: not alive(pid))


def wait_until(holds) -> None:
    import time

    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# ---- by itself ----


def test_several_masks_isolate_what_could_not_follow(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import seen

        def test_found(gpu_visibility):
            assert seen.holding(seen.by_ctypes) == [device.uuid for device in gpu_visibility.devices]
        """,
        "--gpu-visibility=0",
        "--gpu-visibility=2,1",
        "--gpu-visibility=3",
    )
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["gpu-visibility: Tests that ran in a process of their own: 2; *"])


@pytest.mark.parametrize("parallel", [(), ("-n3",)], ids=["alone", "xdist"])
def test_leases_isolate_what_could_not_follow(pytester: pytest.Pytester, parallel: tuple[str, ...]) -> None:
    result = run(
        pytester,
        """
        import pytest, random, seen, time

        @pytest.mark.parametrize("number", range(12))
        def test_leased(gpu_lease, number):
            assert seen.holding(seen.by_ctypes) == [device.uuid for device in gpu_lease.devices]
            time.sleep(random.Random(number).random() / 5)

        @pytest.mark.gpu_count(2)
        def test_two(gpu_lease):
            assert seen.by_ctypes() == [device.uuid for device in gpu_lease.devices]
        """,
        "--gpu-lease=test",
        "--gpu-inventory=a100x4",
        *parallel,
    )
    result.assert_outcomes(passed=13)


def test_a_machine_with_a_driver_of_its_own_isolates_simulated_machines(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process has one driver: in one with the simulated driver, later tests would not find the real one."""
    driver = pytester.path / "nvidiactl"
    driver.touch()
    pytester.makeconftest(
        f"""
        import pytest_gpuvisibility.inventory.real
        pytest_gpuvisibility.inventory.real.DRIVER_FILES = ({str(driver)!r},)
        """
    )
    result = run(
        pytester,
        """
        import os, pytest, seen

        HERE = os.getpid()

        @pytest.mark.gpu_inventory("mixed4")
        def test_machine(): assert len(seen.by_ctypes()) == 4

        def test_after(): assert seen.loaded() == set()
        """,
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["gpu-visibility: Tests on simulated machines that ran in a process of their own: 1; *"]
    )


def test_a_session_on_a_real_machine_hands_it_to_isolated_tests(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    with played_as_real(monkeypatch):
        result = run(
            pytester,
            """
            import pytest, seen

            def test_first(gpu_visibility):
                assert seen.holding(seen.by_ctypes) == [device.uuid for device in gpu_visibility.devices]

            @pytest.mark.gpu_isolated
            @pytest.mark.gpu_visibility("1")
            def test_second(gpu_visibility):
                assert seen.holding(seen.by_ctypes) == [device.uuid for device in gpu_visibility.devices]
                assert [device.index for device in gpu_visibility.devices] == [1]
            """,
            "--gpu-inventory=real",
            "--gpu-visibility=2,1",
        )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("parallel", [(), ("-n2",)], ids=["alone", "xdist"])
def test_what_an_isolated_test_runs_is_covered(pytester: pytest.Pytester, parallel: tuple[str, ...]) -> None:
    pytester.makepyfile(
        lib="""
        def here(flag):
            if flag:
                return "here"

        def there():
            return "there"
        """
    )
    result = run(
        pytester,
        """
        import lib, pytest

        def test_here():
            assert lib.here(True) == "here"

        @pytest.mark.gpu_isolated
        def test_there():
            assert lib.there() == "there"
            assert lib.here(False) is None
        """,
        "--cov=lib",
        "--cov-branch",
        "--cov-report=term-missing",
        *parallel,
    )
    result.assert_outcomes(passed=2)
    result.stdout.re_match_lines([r"lib\.py +5 +0 +2 +0 +100%.*"])
