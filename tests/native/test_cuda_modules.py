"""Modules, functions and launches of libcuda.so.1, what it says of streams, and its clients that are not Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cuda_programs import uuids
from places import program
from simulated_programs import compiled

from pytest_gpuvisibility.simulator import Machine, library_directory

pytest.importorskip("cuda.bindings", reason="NVIDIA's CUDA bindings (dependency group `test`) are not installed")

INVALID_VALUE, FILE_NOT_FOUND, INVALID_HANDLE, NOT_FOUND, NOT_SUPPORTED, NO_DEVICE = 1, 301, 400, 500, 801, 100


# ---- code ----


def test_any_image_is_a_module_of_any_functions(machine: Machine, run: Callable[..., Any]) -> None:
    answers, errors = run(machine, "cuda/modules.py")
    assert answers == [True, False, "add", True, 80, 8]
    assert errors == [
        NOT_FOUND,
        INVALID_VALUE,
        FILE_NOT_FOUND,
        INVALID_VALUE,
        0,
        INVALID_HANDLE,
        INVALID_HANDLE,
        INVALID_HANDLE,
    ]


def test_a_library_has_kernels_and_a_module_in_each_context(machine: Machine, run: Callable[..., Any]) -> None:
    answers, gone = run(machine, "cuda/libraries.py")
    assert answers == [True, INVALID_HANDLE, "add", True, 0, NOT_FOUND, INVALID_HANDLE]
    assert gone == [INVALID_HANDLE] * 4


def test_launches_that_do_nothing_are_counted(make_machine: Callable[..., Machine], run: Callable[..., Any]) -> None:
    machine = make_machine(kernel_launches="noop")
    assert run(machine, "cuda/kernel_launches.py") == [[0], INVALID_VALUE, INVALID_HANDLE]
    launches = [r for r in machine.ledger.records() if r.event == "launch"]
    assert [r.count for r in launches] == [1, 2, 4, 8, 16, 32, 64]
    assert {r.uuid for r in launches} == set(uuids(machine, 0))


# ---- streams ----


def test_no_stream_is_capturing(machine: Machine, run: Callable[..., Any]) -> None:
    assert run(machine, "cuda/captures.py") == [0, 0, 0, 0, [None] * 4, [0, 2], NOT_SUPPORTED]


# ---- other clients ----


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled("cuda_client.c", tmp_path_factory.mktemp("client"))


def answers(program: Path, library: str, environ: dict[str, str]) -> tuple[dict[str, str], float]:
    """What the C client was answered, and how many milliseconds cuInit took."""
    run = subprocess.run([str(program), library], env=environ, capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in run.stdout.splitlines()), float(run.stderr)


def test_a_c_program_runs_on_the_machine(machine: Machine, client: Path) -> None:
    answered, _ = answers(client, "libcuda.so.1", machine.environ(os.environ))
    assert answered.pop("text") == "written"
    assert answered.pop("cuLaunchKernel") == str(NOT_SUPPORTED)
    assert set(answered.values()) == {"0"}
    records = machine.ledger.records()
    assert [(r.event, r.function, r.result, r.count) for r in records] == [
        ("init", None, 0, 1),
        ("context", None, 0, 1),
        ("alloc", None, 0, 1),
        ("alloc", None, 0, 2),
        ("refused", "cuLaunchKernel", NOT_SUPPORTED, 1),
    ]
    assert {r.argv0 for r in records} == {str(client)}


def test_initialising_takes_less_than_a_millisecond(make_machine: Callable[..., Machine], client: Path) -> None:
    environ = make_machine("a100x8").environ(os.environ)
    assert min(answers(client, "libcuda.so.1", environ)[1] for _ in range(10)) < 1


def test_nothing_of_ours_in_the_environment_is_no_device(client: Path) -> None:
    library = str(library_directory() / "libcuda.so.1")
    answered, _ = answers(client, library, {})
    assert answered == {"secure": "0", "cuInit": str(NO_DEVICE)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a program of another user's")
def test_a_setuid_program_ignores_the_environment(machine: Machine, client: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as room:  # the other user must be able to go there
        Path(room).chmod(0o755)
        program = Path(shutil.copy(client, room))
        library = Path(shutil.copy(library_directory() / "libcuda.so.1", room))
        os.chown(program, 65534, 65534)
        program.chmod(0o4755)
        library.chmod(0o755)
        answered, _ = answers(program, str(library), machine.environ(os.environ))
    if answered["secure"] == "0":
        pytest.skip(f"{room} is on a file system without setuid programs")
    assert answered == {"secure": "1", "cuInit": str(NO_DEVICE)}
    assert machine.ledger.records() == []


def test_numba_lists_devices_and_copies(machine: Machine) -> None:
    pytest.importorskip("numba_cuda", reason="numba-cuda (dependency group `clients`) is not installed")
    run = subprocess.run(
        [sys.executable, "-W", "ignore", program("cuda/numba_copies.py")],
        env={**machine.environ(os.environ), "CUDA_VISIBLE_DEVICES": "2,0"},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines()[-1] == "True True"
    assert {r.touched for r in machine.ledger.records()} - {None} == set(uuids(machine, 0))
