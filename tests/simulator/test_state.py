"""The state of a machine and its ledger where something is wrong: damage, limits, sudden ends, full disks."""

from __future__ import annotations

import grp
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from places import PROGRAMS, ROOT, TESTS
from simulated_programs import CONTEXT, MEBIBYTE, ask, environ, holding, python, run

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.simulator import LedgerRecord, Machine, library_directory
from pytest_gpuvisibility.simulator.ledger import EVENTS, LedgerDamaged
from pytest_gpuvisibility.simulator.native import LIBRARIES
from pytest_gpuvisibility.simulator.state import MachineError

NATIVE = ROOT / "pytest_gpuvisibility" / "native"

NOTHING_THERE = {"cuInit": 100, "nvmlInit": 9}  # CUDA_ERROR_NO_DEVICE, NVML_ERROR_DRIVER_NOT_LOADED
ALL_WELL = {"cuInit": 0, "nvmlInit": 0, "context": 0, "alloc": 0}


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine.create(Inventory.load("a100x2")) as machine:
        yield machine


def compile_program(directory: Path, *sources: Path) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = directory / sources[0].stem
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{NATIVE}"]
    subprocess.run([compiler, *flags, *map(str, sources), "-o", str(program), "-ldl"], check=True)
    return program


@pytest.fixture(scope="module")
def state_tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = (PROGRAMS / "c" / "state_tool.c", *(NATIVE / "core").glob("*.c"))
    return compile_program(tmp_path_factory.mktemp("tool"), *sources)


def held(machine: Machine) -> list[tuple[int, int, int]]:
    return [(entry["pid"], entry["contexts"], entry["bytes"]) for entry in machine.snapshot()["processes"]]


# ---- damage ----


def cut_to(size: int) -> Callable[[Path], None]:
    return lambda state: os.truncate(state, size)


def overwrite(offset: int, content: bytes) -> Callable[[Path], None]:
    def change(state: Path) -> None:
        with state.open("r+b") as file:
            file.seek(offset)
            file.write(content)

    return change


def replace_with(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(state: Path) -> None:
        state.unlink()
        make(state)

    return change


DAMAGES = {
    "empty": (cut_to(0), "made by another version, cut short, or overwritten"),
    "cut short": (cut_to(5000), "made by another version, cut short, or overwritten"),
    "longer": (cut_to(1 << 24), "made by another version, cut short, or overwritten"),
    "other magic number": (overwrite(0, b"?"), "made by another version, cut short, or overwritten"),
    "another letter in a name": (overwrite(24, b"?"), "does not match its checksum"),
    "zeros": (overwrite(24, bytes(4096)), "does not match its checksum"),
    "ones": (overwrite(24, b"\xff" * 50_000), "does not match its checksum"),
    "gone": (Path.unlink, "no simulated machine to use in .*: No such file or directory"),
    "a directory": (replace_with(Path.mkdir), "no simulated machine to use in .*: Is a directory"),
    "a pipe": (replace_with(os.mkfifo), "made by another version, cut short, or overwritten"),
    "a loop": (replace_with(lambda state: state.symlink_to("state")), "Too many levels of symbolic links"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_machine_is_refused_in_words_and_is_no_machine_to_programs(machine: Machine, name: str) -> None:
    damage, message = DAMAGES[name]
    damage(machine.directory / "state")
    with pytest.raises(MachineError, match=message):
        machine.snapshot()
    with pytest.raises(MachineError, match=message):
        machine.set_compute_mode(0, "default")
    assert ask(machine, "state/answers.py") == NOTHING_THERE


@pytest.mark.parametrize("value", ["", "/nowhere", "x" * 5000, "\n"])
def test_without_a_machine_the_libraries_answer_quietly(value: str) -> None:
    environ = {"LD_LIBRARY_PATH": str(library_directory()), "GPU_VISIBILITY_MACHINE": value}
    for variables in (environ, {"LD_LIBRARY_PATH": str(library_directory())}):
        done = subprocess.run(python("state/answers.py"), env=variables, capture_output=True, text=True, timeout=60)
        assert (json.loads(done.stdout), done.stderr) == (NOTHING_THERE, "")


def test_a_program_may_name_its_machine_relatively_and_move(machine: Machine, tmp_path: Path) -> None:
    moves = (str(machine.directory.parent), str(tmp_path))
    found = ask(machine, "state/answers_on_the_move.py", *moves, GPU_VISIBILITY_MACHINE=machine.directory.name)
    assert found == ALL_WELL
    assert {record.event for record in machine.ledger.records()} == {"init", "context", "alloc"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a setgid program of another group")
def test_a_privileged_program_ignores_the_environment(machine: Machine, tmp_path: Path) -> None:
    program = compile_program(tmp_path, PROGRAMS / "c" / "secure.c")
    command = [str(program), str(library_directory() / "libcuda.so.1")]
    assert run(machine, *command).stdout == "0 0"
    other = next(group.gr_gid for group in grp.getgrall() if group.gr_gid not in (os.getgid(), *os.getgroups()))
    os.chown(program, -1, other)
    program.chmod(0o2755)
    answer = run(machine, *command).stdout
    if answer.startswith("0"):
        pytest.skip("programs here gain nothing by the setgid bit")
    assert answer == f"1 {NOTHING_THERE['cuInit']}"


SPEAKS = {"printf", "vprintf", "puts", "putchar", "fprintf", "vfprintf", "fputs", "fputc", "putc", "fwrite", "dprintf"}
SPEAKS |= {"perror", "psignal", "error", "warn", "warnx", "err", "errx", "syslog", "stdout", "stderr", "__assert_fail"}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_has_nothing_to_write_to_a_programs_streams_with(library: str) -> None:
    """Whatever a program calls, however it fails: none imports a function that prints, nor a stream."""
    if not shutil.which("nm"):
        pytest.skip("needs nm of binutils, to list what the library imports")
    command = ["nm", "-D", "--undefined-only", "--without-symbol-versions", str(library_directory() / library)]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    imported = {line.split()[-1] for line in table.splitlines()}
    assert not {re.sub("^__(.*)_chk$", r"\1", name) for name in imported} & SPEAKS


# ---- limits ----


def test_a_machine_has_64_gpus_and_no_more() -> None:
    one = Inventory.load("a100x1")

    def many(count: int) -> Inventory:
        uuids = [f"GPU-{i:08x}-0000-4000-8000-000000000000" for i in range(count)]
        devices = [
            replace(one.devices[0], index=i, minor=i, uuid=uuid, pci_bus_id=f"00000000:{i:02X}:00.0")
            for i, uuid in enumerate(uuids)
        ]
        return replace(one, name=f"a100x{count}", devices=tuple(devices))

    with Machine.create(many(64)) as machine:
        assert len(machine.snapshot()["devices"]) == 64
        assert len(machine.probe(machine.environ(os.environ)).devices) == 64
    with pytest.raises(UserError, match="has 65 GPUs; at most 64 are supported"):
        many(65)


def test_the_process_after_the_4096th_is_out_of_memory(machine: Machine, state_tool: Path) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as living:
        subprocess.run([state_tool, machine.directory, "fill", str(living.pid)], check=True)
        assert ask(machine, "state/answers.py") == {"cuInit": 0, "nvmlInit": 0, "context": 2}
        assert machine.ledger.records()[-1].result == 2
        living.communicate()
    assert ask(machine, "state/answers.py") == ALL_WELL


# ---- who lives ----


def test_a_reused_pid_is_another_process(machine: Machine, state_tool: Path) -> None:
    subprocess.run([state_tool, machine.directory, "reuse", str(os.getpid())], check=True)
    assert held(machine) == []
    assert {device["used"] for device in machine.snapshot()["devices"]} == {0}


def test_a_zombie_holds_nothing(machine: Machine) -> None:
    with holding(machine, 0, 100) as process:
        assert held(machine) == [(process.pid, 1, 100 * MEBIBYTE)]
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert held(machine) == []


def test_a_program_started_by_exec_holds_nothing_of_the_one_before(machine: Machine) -> None:
    command = python("holder.py", "0", "100", "sh", "-c", "echo other; read line")
    with subprocess.Popen(
        command, env=environ(machine), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        assert held(machine) == [(process.pid, 1, 100 * MEBIBYTE)]
        print(file=process.stdin, flush=True)
        assert process.stdout.readline() == "other\n"
        assert held(machine) == []
        process.communicate()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_who_holds_the_lock_and_is_gone_or_stopped_holds_up_nobody(
    machine: Machine, state_tool: Path, end: signal.Signals
) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as holder:
        subprocess.run([state_tool, machine.directory, "hold", str(holder.pid)], check=True)
        holder.send_signal(end)
        if end == signal.SIGKILL:
            holder.wait()
        assert ask(machine, "state/answers.py") == ALL_WELL
        holder.kill()


NO_SLOT = {"cuInit": 0, "nvmlInit": 0, "context": 2}  # CUDA_ERROR_OUT_OF_MEMORY


def test_a_slot_that_the_file_has_no_room_for_is_no_slot_and_kills_nobody(machine: Machine) -> None:
    """As on a full disk: the pages of the slots are mapped, and nothing can be put behind them."""
    assert ask(machine, "state/answers_without_slots.py") == NO_SLOT


ON_A_FULL_DISK = """
mount -t tmpfs -o size=96k tmpfs "$1" || exit 77
exec "$2" "$3" "$1"
"""


def test_a_full_disk_is_an_error_and_kills_no_program(tmp_path: Path) -> None:
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", ON_A_FULL_DISK, "sh"]
    if subprocess.run([*unshare[:-4], "true"], capture_output=True, check=False).returncode:
        pytest.skip("no disk of a test's own: this system lets nobody mount one in a namespace")
    done = subprocess.run(
        [*unshare, tmp_path, *python("state/full_disk.py")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS / "simulator")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "as it should be\n", done.stderr


# ---- the ledger ----


def test_python_and_c_know_the_same_events(state_tool: Path, tmp_path: Path) -> None:
    done = subprocess.run([state_tool, tmp_path, "events", "0"], capture_output=True, text=True, check=True)
    assert tuple(done.stdout.split()) == EVENTS
    assert all(f'"{event}"' in str(LedgerRecord.__doc__) for event in EVENTS)


def test_a_program_that_tries_again_and_again_does_not_fill_the_disk(machine: Machine) -> None:
    ask(machine, "state/refused_often.py", "100000")
    counts = [record.count for record in machine.ledger.records() if record.event == "refused"]
    assert counts == [1 << bit for bit in range(17)]


def test_a_full_disk_breaks_no_program_and_is_not_taken_for_silence(machine: Machine) -> None:
    machine.ledger.path.unlink(missing_ok=True)
    machine.ledger.path.symlink_to("/dev/full")
    assert ask(machine, "state/answers.py") == ALL_WELL
    machine.ledger.path.unlink()
    with pytest.raises(LedgerDamaged, match="lacks 3 records that could not be written"):
        machine.ledger.records()


def test_a_limit_on_file_sizes_kills_no_program(machine: Machine) -> None:
    assert ask(machine, "state/answers_with_small_files.py") == ALL_WELL
    assert machine.ledger.path.stat().st_size == 700
    with pytest.raises(LedgerDamaged, match="or a limit on the size of files"):
        machine.ledger.records()


def test_what_a_context_takes_is_what_the_tests_believe(machine: Machine) -> None:
    with holding(machine, 1, 100):
        assert machine.snapshot()["devices"][1]["used"] == (CONTEXT + 100) * MEBIBYTE
