"""Widespread clients, unmodified, each in a process of its own on a simulated machine under a mask.

Clients of NVML see every GPU, clients of CUDA what the resolver says, and all layers give a device the same UUID, bus
id, name and memory. The heavy clients need the dependency group ``clients``: ``tox run -e clients``.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from clients.matrix import (
    CLIENTS,
    INVENTORIES,
    MASKS,
    REFUSED,
    Client,
    Mask,
    Refused,
    answer,
    clean,
    compilers_missing,
    run,
    run_refused,
    spelled_alike,
)
from places import DOCS
from simulated_programs import python

from pytest_gpuvisibility import Inventory, resolve
from pytest_gpuvisibility.simulator import Machine
from pytest_gpuvisibility.simulator.touch_table import PRIVATE_TABLES

PAGE = DOCS / "clients.md"


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
    if client.tool in ("rustc", "go") and compilers_missing(client):
        pytest.skip(f"no {client.tool} that works is here to compile the {client.name}")
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


@pytest.mark.heavy_client
def test_faiss_puts_vectors_on_its_device_where_launches_are_skipped(room: Path) -> None:
    with Machine.create(Inventory.load("a100x4"), kernel_launches="noop") as machine:
        environ = machine.environ(clean(os.environ)) | {"CUDA_VISIBLE_DEVICES": "3,1"}
        command = python("cudart/faiss_index.py")
        ended = subprocess.run(command, env=environ, cwd=room, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout) == (0, "10\n"), ended.stderr
        allocated = {record.uuid for record in machine.ledger.records() if record.event == "alloc"}
        assert allocated == {machine.inventory.devices[1].uuid}
        assert machine.kernel_launches()[0] > 0


@pytest.mark.parametrize("client", parameters())
def test_the_client_is_installed(client: Client) -> None:
    """So that none of them is left out unnoticed."""
    if client.distribution:
        assert importlib.metadata.version(client.distribution)


@pytest.mark.parametrize(
    "refused",
    [pytest.param(r, marks=[pytest.mark.heavy_client] if r.heavy else [], id=r.name) for r in REFUSED],
)
def test_the_cuda_runtime_is_refused_and_named(refused: Refused, room: Path) -> None:
    ended = run_refused(refused, room)
    assert (ended.returncode, ended.stdout) == (0, "cudaErrorNotSupported\n")
    assert PRIVATE_TABLES in ended.stderr


def test_the_page_about_clients_has_them_all() -> None:
    remedy = "run in tests: python -m clients.table > ../docs/clients.md"
    for client in (*CLIENTS, *REFUSED):
        assert f"\n| {client.name} |" in PAGE.read_text(encoding="utf-8"), remedy
