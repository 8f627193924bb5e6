"""Fixtures to run clients of libcuda.so.1 on simulated machines: NVIDIA's own Python bindings and plain ctypes, each
in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from simulated_programs import python

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.simulator import Machine

CONTEXT_OVERHEAD = 450 << 20

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def make_machine() -> Iterator[Callable[..., Machine]]:
    machines: list[Machine] = []

    def make(name: str = "a100x4", **options: Any) -> Machine:
        machines.append(Machine.create(Inventory.load(name), **options))
        return machines[-1]

    yield make
    for machine in machines:
        machine.close()


@pytest.fixture
def machine(make_machine: Callable[..., Machine]) -> Machine:
    return make_machine()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a client on a machine, one of programs/cuda or a few lines; what still runs afterwards is killed."""
    clients: list[subprocess.Popen[str]] = []

    def start(machine: Machine, client: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            python(client, *arguments, lines="cuda/lines.py"),
            env={**machine.environ(os.environ), **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
        )
        clients.append(process)
        return process

    yield start
    for client in clients:
        client.kill()
        client.communicate()


@pytest.fixture
def run(start: Start) -> Callable[..., Any]:
    """Runs a client to its end and returns what it showed; anything else that it wrote is a failure."""

    def run(machine: Machine, client: str, *arguments: str, **variables: str) -> Any:
        process = start(machine, client, *arguments, **variables)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        shown = [json.loads(line) for line in output.splitlines()]
        return shown[0] if len(shown) == 1 else shown

    return run


def next_shown(client: subprocess.Popen[str]) -> Any:
    assert client.stdout is not None
    assert client.stderr is not None
    line = client.stdout.readline()
    assert line, client.stderr.read()
    return json.loads(line)


def uuids(machine: Machine, *indices: int) -> list[str]:
    return [machine.inventory.devices[index].uuid for index in indices]
