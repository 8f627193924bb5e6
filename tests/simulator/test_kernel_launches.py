"""Kernel launches on simulated machines: refused by default, skipped and counted where so chosen, never silent."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import PROGRAMS

LAUNCHES = PROGRAMS / "launches.py"
SKIPPED = "gpu-visibility: 12,408 kernel launches skipped: values are not real"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return Path(shutil.copy(LAUNCHES, tmp_path))


def run(program: Path, count: int, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest_gpuvisibility", "run", *options, "--", sys.executable, program, str(count)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=program.parent, env=os.environ, timeout=60
    )


def test_a_launch_is_an_error_that_leads_to_noop(program: Path) -> None:
    ended = run(program, 3)
    assert (ended.returncode, ended.stdout) == (0, "801\n")
    assert "gpu-visibility: 3 kernel launches refused: nothing runs them here; --launch noop skips them" in ended.stderr


def test_skipped_launches_are_counted_exactly(program: Path) -> None:
    ended = run(program, 12408, "--launch", "noop")
    assert (ended.returncode, ended.stdout) == (0, "0\n")
    assert SKIPPED in ended.stderr.splitlines()
    assert "refused" not in ended.stderr


def test_nothing_is_said_where_nothing_was_launched(program: Path) -> None:
    assert "kernel" not in run(program, 0, "--launch", "noop").stderr


# ---- under pytest ----


@pytest.fixture
def launching(pytester: pytest.Pytester) -> pytest.Pytester:
    shutil.copy(LAUNCHES, pytester.path)
    pytester.makepyfile(
        test_launching="""
        import subprocess, sys

        def launch(count, **where):
            return subprocess.check_output([sys.executable, "launches.py", str(count)], text=True, **where)

        def test_on_the_sessions_machine(gpu_visibility):
            assert launch(3) == "0\\n"

        def test_on_a_machine_of_its_own(gpu_machine):
            assert gpu_machine.run([sys.executable, "launches.py", "1005"]).stdout == "0\\n"

        def test_that_passes_either_way(gpu_machine):
            gpu_machine.run([sys.executable, "launches.py", "2"])
            assert sum(gpu_machine.kernel_launches) == 2

        def test_that_chooses(gpu_machine):
            gpu_machine.set_kernel_launch_policy("noop")
            assert gpu_machine.run([sys.executable, "launches.py", "4"]).stdout == "0\\n"
            gpu_machine.set_kernel_launch_policy("error")
            assert gpu_machine.run([sys.executable, "launches.py", "1"]).stdout == "801\\n"
            assert gpu_machine.kernel_launches == (4, 1)
        """
    )
    return pytester


def test_a_failed_test_says_what_was_refused_to_it(launching: pytest.Pytester) -> None:
    result = launching.runpytest_subprocess("--gpu-inventory=a100x2")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*test_on_the_sessions_machine*",
            "*- gpu-visibility -*",
            "3 kernel launches refused: nothing runs them here; --gpu-launch=noop skips them",
            "*test_on_a_machine_of_its_own*",
            "*- gpu-visibility -*",
            "1,005 kernel launches refused: nothing runs them here; --gpu-launch=noop skips them",
            "gpu-visibility: 4 kernel launches skipped: values are not real",
        ]
    )


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["one process", "xdist"])
@pytest.mark.parametrize("where", ["option", "ini"])
def test_the_summary_counts_what_was_skipped(launching: pytest.Pytester, where: str, workers: list[str]) -> None:
    if where == "ini":
        launching.makeini("[pytest]\ngpu_launch = noop\n")
    options = ["--gpu-launch=noop"] if where == "option" else []
    result = launching.runpytest_subprocess(*options, "--gpu-inventory=a100x2", *workers)
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["gpu-visibility: 1,014 kernel launches skipped: values are not real"])


def test_the_option_alone_puts_the_session_on_a_machine(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import ctypes\ndef test_in_process():\n    assert ctypes.CDLL('libcuda.so.1').cuInit(0) == 0\n"
    )
    result = pytester.runpytest_subprocess("--gpu-launch=noop")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["gpu-visibility: *inventory a100x8 (simulated)*"])
    result.stdout.no_fnmatch_line("*kernel launch*")


@pytest.mark.parametrize("where", ["--gpu-launch=skip", "gpu_launch = skip"])
def test_another_word_is_a_usage_error(pytester: pytest.Pytester, where: str) -> None:
    pytester.makepyfile("def test(gpu_machine): pass")
    if not where.startswith("-"):
        pytester.makeini(f"[pytest]\n{where}\n")
    result = pytester.runpytest_subprocess(*([where] if where.startswith("-") else []))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    source = where if where.startswith("-") else "gpu_launch in tox.ini = skip"
    result.stderr.fnmatch_lines([f"*{source}: a kernel launch on a simulated machine either fails (error*"])


def test_a_machine_refuses_another_word(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from pytest_gpuvisibility.errors import UserError

        def test(gpu_machine):
            with pytest.raises(UserError, match="kernel_launches='skip' is not known; it is one of error, noop"):
                gpu_machine.set_kernel_launch_policy("skip")
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
