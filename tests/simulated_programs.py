"""How tests run programs, those of tests/programs above all, on simulated machines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from places import PROGRAMS, program

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.simulator import Machine

MEBIBYTE = 1 << 20
CONTEXT = 450  # MiB that a context takes of its device: GV_CONTEXT_OVERHEAD of native/core/state.h


def c_compiler() -> str:
    """The C compiler; a test that needs one is skipped where there is none."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler (cc or gcc on PATH)")
    return compiler


def compiled(source: str, directory: Path) -> Path:
    """A client in C, one of programs/c, compiled into the directory."""
    client = directory / "client"
    code = str(PROGRAMS / "c" / source)
    subprocess.run([c_compiler(), "-w", "-o", str(client), code, "-ldl", "-pthread"], check=True)
    return client


def python(code: str, *arguments: str, lines: str | None = None) -> list[str]:
    """The command of a Python program: one of tests/programs by its name, or a few lines of code. ``lines``: the
    program that is to run those.
    """
    if code.endswith(".py"):
        return [sys.executable, program(code), *arguments]
    return [sys.executable, "-c" if lines is None else program(lines), textwrap.dedent(code), *arguments]


def on(name: str) -> pytest.MarkDecorator:
    """The test has the fixture `machine` with another inventory than four equal GPUs."""
    return pytest.mark.parametrize("machine", [name], indirect=True)


def environ(machine: Machine, **extra: str) -> dict[str, str]:
    """The environment of a program on the machine."""
    return {**machine.environ(os.environ), **extra}


@contextmanager
def played_as_real(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Programs that the test starts, runs of pytest above all, find a machine of four equal GPUs for their own."""
    with Machine.create(Inventory.load("a100x4")) as machine:
        for name, value in environ(machine).items():
            monkeypatch.setenv(name, value)
        yield machine


def run(machine: Machine, *command: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Runs a command on the machine to its end; `extra` is added to its environment."""
    return subprocess.run(
        command, env=environ(machine, **extra), capture_output=True, text=True, timeout=60, check=False
    )


def ask(machine: Machine, code: str, *arguments: str, **extra: str) -> Any:
    """What a Python program prints as JSON when it runs on the machine: one of tests/programs, or a few lines."""
    result = run(machine, *python(code, *arguments), **extra)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def ask_around(machine: Machine, code: str, *arguments: str, event: Callable[[], object]) -> Any:
    """What a Python program prints as JSON that says "ready", and reads a line once `event` has happened."""
    with subprocess.Popen(
        python(code, *arguments),
        env=environ(machine),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        event()
        process.stdin.write("go\n")
        process.stdin.close()
        return json.loads(process.stdout.read())


@contextmanager
def holding(machine: Machine, device: int, mebibytes: int, **extra: str) -> Iterator[subprocess.Popen[str]]:
    """A living process with a context and so much memory on a CUDA device."""
    command = python("holder.py", str(device), str(mebibytes))
    with subprocess.Popen(
        command, env=environ(machine, **extra), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
