"""Widespread clients, unmodified, each in a process of its own on a simulated machine under a mask.

Clients of NVML see every GPU, clients of CUDA what the resolver says, and all layers give a device the same UUID, bus
id, name and memory. The heavy clients need the dependency group ``clients``: ``tox run -e clients``.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clients.matrix import CLIENTS, INVENTORIES, MASKS, Client, Mask, answer, compilers_missing, run, spelled_alike

from pytest_gpuvisibility import Inventory, resolve
from pytest_gpuvisibility.simulator.machine import Machine


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where programs are compiled; also a directory in which no source tree hides the installed package."""
    return tmp_path_factory.mktemp("clients")


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    with Machine.create(Inventory.load(request.param)) as machine:
        yield machine


def parameters() -> list[object]:
    marks = {client: [pytest.mark.heavy_client] if client.heavy else [] for client in CLIENTS}
    return [pytest.param(client, marks=marks[client], id=client.name.replace(" ", "-")) for client in CLIENTS]


@pytest.mark.parametrize("mask", MASKS, ids=lambda mask: mask.id.replace(" ", "-"))
@pytest.mark.parametrize("machine", INVENTORIES, indirect=True)
@pytest.mark.parametrize("client", parameters())
def test_a_client_sees_the_machine(client: Client, machine: Machine, mask: Mask, room: Path) -> None:
    if client.tool == "rustc" and compilers_missing(client):
        pytest.skip("no rustc is here to compile the Rust program")
    value = mask.value(machine.inventory)
    ended = run(client, machine, value, room)
    assert ended.returncode == 0, ended.stderr
    assert answer(ended.stdout) == spelled_alike(client.expected(machine.inventory, value))
    touched = {record.touched for record in machine.ledger.records()} - {None}
    assert touched <= {device.uuid for device in resolve(value, machine.inventory).devices}


@pytest.mark.parametrize("machine", ["mig"], indirect=True)
@pytest.mark.parametrize(
    "client", [pytest.param(c, marks=pytest.mark.heavy_client) for c in CLIENTS if c.name == "numba-cuda"]
)
def test_arrays_are_copied_to_the_devices_shown(client: Client, machine: Machine, room: Path) -> None:
    second = machine.inventory.devices[1].mig[1].uuid
    assert run(client, machine, second, room).returncode == 0
    assert {record.touched for record in machine.ledger.records() if record.event == "alloc"} == {second}


@pytest.mark.parametrize("client", parameters())
def test_the_client_is_installed(client: Client) -> None:
    """So that none of them is left out unnoticed."""
    if client.distribution:
        assert importlib.metadata.version(client.distribution)


REFUSED = "from cuda.bindings import runtime; print(int(runtime.cudaGetDeviceCount()[0]))"


def test_the_static_cuda_runtime_is_refused_and_named(room: Path) -> None:
    """cuda-bindings contains the runtime statically, as cupy and nvcc's programs do."""
    machine_of = [sys.executable, "-m", "pytest_gpuvisibility", "run", "--inventory", "a100x2", "--"]
    ended = subprocess.run(
        [*machine_of, sys.executable, "-c", REFUSED], cwd=room, capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "801\n"
    assert "uses the static CUDA runtime, which cannot be simulated" in ended.stderr
