"""What the ledger's witness says of a process beyond which devices it touched: when, from where, under which mask."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from simulated_programs import python

from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.records import Account
from pytest_gpuvisibility.simulator import Machine
from pytest_gpuvisibility.witness import LedgerWitness

INVENTORY = Inventory.load("a100x4")
UUIDS = [device.uuid for device in INVENTORY.devices]


def account(steps: str, visible: str = "0,1,2", **environ: str) -> Account:
    """What the witness says of programs/witness/steps.py after its end."""
    with Machine.create(INVENTORY) as machine:
        base = {"PATH": os.environ["PATH"], "CUDA_VISIBLE_DEVICES": visible, **environ}
        subprocess.run(python("witness/steps.py", steps), env=machine.environ(base), check=True, timeout=60)
        [found] = LedgerWitness(machine).unknown_processes([]).values()
    return found


@pytest.mark.parametrize(
    ("script", "peers"),
    [
        ("context(0)", []),
        ("first = context(1); context(0); assert cuda.cuCtxEnablePeerAccess(first, 0) == 0", [1]),
        ("first = context(1); context(0); cuda.cuCtxEnablePeerAccess(first, 7)", []),
        ("context(0); open_pool(2, 3)", [2]),
        ("context(0); open_pool(0, 3)", []),
        ("context(0); open_pool(2, 0)", []),
    ],
)
def test_peers_are_devices_reached_from_another(script: str, peers: list[int]) -> None:
    assert account(script).peers == tuple(UUIDS[index] for index in peers)


def test_a_mask_that_is_set_after_cuinit_is_reported_with_the_first_context() -> None:
    script = "os.environ['CUDA_VISIBLE_DEVICES'] = '1'; context(0); context(1)"
    found = account(script)
    assert (found.visible, found.touched) == ("0,1,2", (UUIDS[0], UUIDS[1]))
    assert found.remasked == (("1", None),)


@pytest.mark.parametrize("script", ["context(0)", "os.environ['CUDA_VISIBLE_DEVICES'] = '0,1,2'; context(0)", ""])
def test_a_mask_that_stays_is_not_reported(script: str) -> None:
    assert account(script).remasked == ()


def test_an_order_that_is_set_late_is_reported_too() -> None:
    found = account("os.environ['CUDA_DEVICE_ORDER'] = 'PCI_BUS_ID'; context(0)")
    assert found.remasked == (("0,1,2", "PCI_BUS_ID"),)


def test_every_device_has_the_time_of_its_first_use() -> None:
    before = time.time()
    found = account("import time; context(1); time.sleep(0.1); context(0); context(1)")
    first, second = found.touched_at
    assert found.touched == (UUIDS[1], UUIDS[0])
    assert before - 0.01 <= first < second - 0.09 <= time.time()
