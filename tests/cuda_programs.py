"""Fixtures to run clients of libcuda.so.1 on simulated machines: NVIDIA's own Python bindings and plain ctypes, each
in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.simulator import Machine

CONTEXT_OVERHEAD = 450 << 20

# What every client begins with. `show` is the only way that a client tells its test something.
PRELUDE = """
import ctypes, json, os, sys
from cuda.bindings import driver

def call(function, *arguments):
    result, *values = function(*arguments)
    assert result == driver.CUresult.CUDA_SUCCESS, (function, result)
    return values[0] if len(values) == 1 else values

def code(function, *arguments):
    return int(function(*arguments)[0])

def show(value):
    print(json.dumps(value), flush=True)

def use(ordinal):
    context = call(driver.cuDevicePrimaryCtxRetain, ordinal)
    call(driver.cuCtxSetCurrent, context)

def uuid(ordinal):
    digits = call(driver.cuDeviceGetUuid, ordinal).bytes.hex()
    return "GPU-" + "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

cuda = ctypes.CDLL("libcuda.so.1")
"""

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
    """Starts a client on a machine; what is still running afterwards is killed."""
    clients: list[subprocess.Popen[str]] = []

    def start(machine: Machine, script: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        client = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(script), *arguments],
            env={**machine.environ(os.environ), **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
        )
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.kill()
        client.communicate()


@pytest.fixture
def run(start: Start) -> Callable[..., Any]:
    """Runs a client to its end and returns what it showed; anything else that it wrote is a failure."""

    def run(machine: Machine, script: str, *arguments: str, **variables: str) -> Any:
        client = start(machine, script, *arguments, **variables)
        output, errors = client.communicate(timeout=60)
        assert (client.returncode, errors) == (0, "")
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
