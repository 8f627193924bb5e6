"""``--gpu-inventory``: a shipped machine, a file, the real one."""

from __future__ import annotations

import pytest

from pytest_gpuvisibility.inventory.catalogue import file_of

SHOWN = "gpu-visibility: all that the caller has -> *; inventory {name} (simulated)"


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile("def test_it(gpu_inventory): print('machine', gpu_inventory.name)")
    return pytester


def test_a_file_beside_the_ini_file(project: pytest.Pytester) -> None:
    shipped = file_of("a100x2")
    assert shipped is not None
    (project.path / "ours.toml").write_text(shipped.read_text().replace('name = "a100x2"', 'name = "ours"'))
    project.makeini("[pytest]\ngpu_inventory = ours.toml\n")
    (project.path / "below").mkdir()
    result = project.runpytest_subprocess("--rootdir=.", "-s", "test_a_file_beside_the_ini_file.py")
    result.stdout.fnmatch_lines([SHOWN.format(name="ours"), "*machine ours*"])


def test_the_command_line_wins_over_the_ini_file(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\ngpu_inventory = nowhere\n")
    result = project.runpytest_subprocess("--gpu-inventory=mixed4", "-n1")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([SHOWN.format(name="mixed4")])


@pytest.mark.parametrize(
    ("ini", "options", "words"),
    [
        (
            "",
            ("--gpu-inventory=a100x5",),
            "--gpu-inventory=a100x5: There is no inventory and no file 'a100x5'. Did you mean a100x",
        ),
        (
            "gpu_inventory = nowhere.toml",
            (),
            "gpu_inventory in tox.ini = nowhere.toml: There is no inventory and no file 'nowhere.toml'. Give a",
        ),
        (
            "",
            ("--gpu-inventory=broken.toml",),
            "--gpu-inventory=broken.toml: 'broken.toml' cannot be read as an inventory: ",
        ),
        (
            "",
            ("--gpu-inventory=real",),
            "--gpu-inventory=real: No NVIDIA driver answers on this machine (NVML Shared Library Not Found). Use a",
        ),
    ],
)
def test_mistakes_say_where_the_setting_came_from(
    project: pytest.Pytester, ini: str, options: tuple[str, ...], words: str
) -> None:
    project.makeini(f"[pytest]\n{ini}\n")
    (project.path / "broken.toml").write_text("name = [\n")
    result = project.runpytest_subprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: " + words in result.stderr.str()
