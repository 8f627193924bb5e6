"""``gpu_machine``: programs run on it, what they touched, and what it turns into."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from places import program
from simulated_programs import compiled


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    shutil.copy(program("touching.py"), pytester.path)
    pytester.makeini("[pytest]\npythonpath = .\nfilterwarnings = error\naddopts = --strict-markers\n")
    return pytester


def passes(suite: pytest.Pytester, source: str, *options: str, count: int = 1) -> None:
    suite.makepyfile(source)
    suite.runpytest_subprocess(*options).assert_outcomes(passed=count)


def test_the_example_of_the_docstring(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        import pytest
        from touching import touch

        @pytest.mark.gpu_inventory("mixed4")
        def test_second_visible_gpu(gpu_machine):
            run = gpu_machine.run(touch(1), visible="1,3")
            assert run.returncode == 0, run.stderr
            assert run.touched == {gpu_machine.devices[3]}
            [process] = run.processes
            assert process.visible == (gpu_machine.devices[1], gpu_machine.devices[3])
            assert (process.touched, process.mask) == ((gpu_machine.devices[3],), "1,3")
            assert {record.event for record in run.records} >= {"init", "context"}
        """,
    )


def test_a_run_counts_what_it_started_and_nothing_beside_it(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        import subprocess, sys
        from touching import touch

        def test_apart(gpu_machine):
            subprocess.run(touch(5), check=True)
            shell = ["sh", "-c", '"$@"', "sh", *touch(1)]
            assert gpu_machine.run(shell).touched == {gpu_machine.devices[1]}
            assert gpu_machine.touched == {gpu_machine.devices[1], gpu_machine.devices[5]}
        """,
        "--gpu-inventory=a100x8",
    )


def test_every_child_finds_the_machine_and_the_next_test_another(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        import pytest, subprocess

        def listed():
            return subprocess.check_output(["nvidia-smi", "-L"], text=True).count("UUID: GPU-")

        @pytest.mark.gpu_inventory("a100x2")
        def test_two(gpu_machine):
            assert listed() == len(gpu_machine.devices) == 2

        def test_eight(gpu_machine):
            assert listed() == 8
            gpu_machine.assert_nothing_touched()
        """,
        count=2,
    )


def test_a_child_in_c_and_a_shell_find_the_machine_with_no_set_up(suite: pytest.Pytester) -> None:
    compiled("cuda_client.c", suite.path)
    passes(
        suite,
        """
        import subprocess

        def test_c(gpu_machine):
            subprocess.run(["./client", "libcuda.so.1"], check=True)
            assert gpu_machine.touched == {gpu_machine.devices[5]}

        def test_shell(gpu_machine):
            assert subprocess.getoutput("nvidia-smi -L | grep -c UUID") == "8"
            subprocess.run("./client libcuda.so.1 | cat", shell=True, check=True)
            assert gpu_machine.touched == {gpu_machine.devices[5]}
        """,
        "--gpu-inventory=a100x8",
        "--gpu-visibility=5",
        count=2,
    )


def test_the_runs_mask_holds_on_its_copy(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        from touching import touch

        def test_masked(gpu_machine):
            assert gpu_machine.run(touch(1)).touched == {gpu_machine.devices[6]}
            assert gpu_machine.run(touch(1), visible=None).touched == {gpu_machine.devices[1]}
            assert gpu_machine.run(touch(0), visible="", check=False).returncode == 1
        """,
        "--gpu-visibility=4,6",
        "--gpu-inventory=a100x8",
    )


def test_the_assertion_shows_processes_and_devices(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        from touching import touch

        def test_too_much(gpu_machine):
            run = gpu_machine.run(touch(0, 1), visible="2,3")
            run.assert_touched_only()
            run.assert_touched_only(gpu_machine.devices[:3])

        def test_nothing(gpu_machine):
            gpu_machine.run(touch(0)).assert_nothing_touched()

        def test_no_device(gpu_machine):
            gpu_machine.run(touch(0)).assert_touched_only([7])
        """
    )
    result = suite.runpytest_subprocess("--gpu-inventory=a100x4")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            "E * python* touched GPU 3, but only GPU 0, GPU 1, GPU 2 were permitted",
            "E * process * GPU 0 * GPU 1 * GPU 2 * GPU 3 * CUDA_VISIBLE_DEVICES",
            'E * python* permitted * permitted * touched * OUT OF BOUNDS * "2,3"',
            "E * python* touched GPU 0, but no device was to be touched",
            "E * 7 is no device of inventory a100x4. Give elements of gpu_machine.devices*",
        ]
    )


def test_changes_in_the_middle(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        import pytest
        from touching import touch

        MIB = 1 << 20

        def used(machine, index):
            return machine.snapshot()["devices"][index]["used"] // MIB

        def test_changes(gpu_machine):
            first, second, third, fourth = gpu_machine.devices
            with gpu_machine.occupy(second, 1000) as holder:
                assert used(gpu_machine, 1) == 1450
                assert holder.pid in [process["pid"] for process in gpu_machine.snapshot()["processes"]]
            assert used(gpu_machine, 1) == 0
            gpu_machine.assert_nothing_touched()
            gpu_machine.set_compute_mode(third, "exclusive-process")
            gpu_machine.occupy(third, 0)
            assert gpu_machine.run(touch(2), check=False).returncode == 1
            gpu_machine.lose(0)
            assert gpu_machine.run(touch(0)).touched == {second}
            gpu_machine.make_sick(fourth)
            assert set(gpu_machine.snapshot()["devices"][3]["faults"]) == {"nvml-unknown"}
            gpu_machine.heal(first)
            assert gpu_machine.run(touch(0)).touched == {first}
        """,
        "--gpu-inventory=a100x4",
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("lose(4)", "gpu_machine: 4 is no GPU of inventory a100x4. Use one of gpu_machine.devices, or an index (0-3)."),
        (
            "occupy(0, 99999)",
            "no process can hold 99999 MiB of GPU 0 (GPU-uuid) now: cuMemAlloc_v2 fails with CUresult 2",
        ),
        ("occupy(0, -1)", "gpu_machine.occupy(mebibytes=-1): give a whole number of MiB, 0 or more."),
        ("set_compute_mode(0, 'shared')", "(mode='shared'): it is one of default, exclusive-process, prohibited."),
        ("run('nvidia-smi -L')", "gpu_machine.run('nvidia-smi -L'): give the program and its arguments as a list"),
    ],
)
def test_mistakes_are_explained(suite: pytest.Pytester, call: str, words: str) -> None:
    suite.makepyfile(f"def test_it(gpu_machine):\n    gpu_machine.{call}\n")
    result = suite.runpytest_subprocess("--gpu-inventory=a100x4")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines([".*" + re.escape(words).replace("uuid", "[0-9a-f-]+")])


def test_a_program_that_takes_too_long_is_killed(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        import pytest, subprocess

        def test_slow(gpu_machine):
            with pytest.raises(subprocess.TimeoutExpired):
                gpu_machine.run(["sh", "-c", "sleep 3600 & wait"], timeout=0.5)
        """,
    )


def test_wider_scopes_share_a_machine(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        import os, pytest
        from touching import touch

        pytestmark = pytest.mark.gpu_inventory("a100x2")

        class TestShared:
            def test_first(self, gpu_machine_class):
                gpu_machine_class.run(touch(0))

            def test_second(self, gpu_machine_class):
                assert gpu_machine_class.touched == {gpu_machine_class.devices[0]}

        def test_module(gpu_machine_module, gpu_inventory):
            assert gpu_machine_module.inventory is gpu_inventory
            assert len(gpu_inventory.devices) == 2
            gpu_machine_module.assert_nothing_touched()
        """,
        count=3,
    )


def test_a_marker_that_a_shared_machine_cannot_follow(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.gpu_inventory("a100x2")
        def test_it(gpu_machine_module): pass
        """
    )
    result = suite.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*gpu_inventory('a100x2') asks for another machine than that of gpu_machine_module*"])


def test_nothing_is_left_of_many_machines(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    place = suite.mkdir("temporary")
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setenv("LEFT_BY", mark := str(place))
    suite.makepyfile(
        """
        import pathlib, pytest

        @pytest.mark.parametrize("number", range(60))
        def test_fresh(gpu_machine, number):
            pathlib.Path(f"place-{number}").write_text(gpu_machine.environ()["GPU_VISIBILITY_MACHINE"])
            if number % 20 == 0:
                gpu_machine.run(["sh", "-c", "sleep 3600 >/dev/null 2>&1 &"])
                gpu_machine.occupy(0, 1)
        """
    )
    suite.runpytest_subprocess("-n2", "-p", "no:cacheprovider").assert_outcomes(passed=60)
    assert [path for path in place.iterdir() if any(path.iterdir())] == []
    machines = {Path(path.read_text()) for path in suite.path.glob("place-*")}
    assert len(machines) == 60
    assert not [machine for machine in machines if machine.parent.exists()]
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid() and carries(pid, mark)]


def carries(pid: str, mark: str) -> bool:
    try:
        return f"LEFT_BY={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def test_a_crash_is_cleared_away_by_the_next_machine(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    place = suite.mkdir("temporary")
    monkeypatch.setenv("TMPDIR", str(place))
    suite.makepyfile(
        test_crash="""
        import os, pathlib, signal

        def test_crash(gpu_machine):
            pathlib.Path("where").write_text(gpu_machine.environ()["GPU_VISIBILITY_MACHINE"])
            gpu_machine.run(["sh", "-c", "sleep 3600 >/dev/null 2>&1 & echo $! > pid"])
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        test_after="def test_after(gpu_machine): pass",
    )
    suite.runpytest_subprocess("test_crash.py")
    machine, pid = Path((suite.path / "where").read_text()), (suite.path / "pid").read_text().strip()
    assert machine.is_dir()
    assert Path(f"/proc/{pid}").exists()
    suite.runpytest_subprocess("test_after.py").assert_outcomes(passed=1)
    assert not machine.exists()
    assert subprocess.run(["kill", "-0", pid], capture_output=True, check=False).returncode != 0 or is_zombie(pid)


def is_zombie(pid: str) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
