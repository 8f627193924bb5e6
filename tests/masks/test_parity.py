"""The simulated driver reads masks in C, the resolver in Python; they must never differ."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pytest_gpuvisibility import Inventory, resolve
from pytest_gpuvisibility.simulator import Machine, state

MASKS = 100_000
DRIVERS = ("450.80.02", "525.60.13", "580.95.05")
NUMBERS = [
    "0",
    "1",
    "2",
    "3",
    "7",
    "8",
    "00",
    "01",
    "+1",
    "-0",
    "-1",
    "- 1",
    "0x1",
    "1.5",
    "0-2",
    "2147483648",
    "4294967296",
]
NUMBERS += ["9" * 40, "1gpu", "0:1", "\N{ARABIC-INDIC DIGIT THREE}", "\udcff"]
WORDS = [
    "",
    " ",
    "\t",
    "\v1",
    "1 ",
    "NoDevFiles",
    "all",
    "gpu-",
    "GPU-",
    "MIG-",
    "MIG-GPU-",
    "GP",
    "MIG-GPU-/1/0",
    "G",
]


def inventories() -> Iterator[Inventory]:
    for name in Inventory.names():
        yield Inventory.load(name)
    mig = Inventory.load("mig")
    for driver in DRIVERS:
        yield replace(mig, name=f"mig-{driver}", driver_version=driver)
    whole, cut = mig.devices
    # Two compute instances in one GPU instance, a GPU in MIG mode with no slice, and a lost one that is cut.
    slices = (
        replace(cut.mig[0], compute_instance=1, uuid="MIG-0c9e4c3e-a4a5-5ea8-8a01-16b74d4fa4a3"),
        *cut.mig,
    )
    yield replace(mig, name="two-in-one", devices=(whole, replace(cut, mig=slices)))
    yield replace(mig, name="uncut", devices=(replace(whole, mig_enabled=True), cut))
    yield replace(mig, name="lost", devices=(whole, replace(cut, faults=frozenset({"lost"}))))
    yield replace(mig, name="not-loaded", faults=frozenset({"driver-not-loaded"}))
    legacy = tuple(replace(unit, uuid=f"MIG-{cut.uuid}/{unit.gpu_instance}/0") for unit in cut.mig)
    yield replace(mig, name="legacy", driver_version="450.80.02", devices=(whole, replace(cut, mig=legacy)))


INVENTORIES = {inventory.name: inventory for inventory in inventories()}


def vocabulary(inventory: Inventory) -> list[str]:
    uuids = [unit.uuid for unit in inventory.units]
    parts = [uuid[:length] for uuid in uuids for length in (8, 9, 13, len(uuid) - 1)]
    legacy = [
        f"MIG-{gpu.uuid[:cut]}/{place}" for gpu in inventory.devices for cut in (9, 40) for place in ("1/0", "2/0", "9")
    ]
    return NUMBERS + WORDS + uuids * 3 + parts + legacy + [uuid.upper() for uuid in uuids]


def random_masks(inventory: Inventory, count: int) -> list[str | None]:
    chance = random.Random(inventory.name)
    tokens = vocabulary(inventory)
    masks: list[str | None] = [None]
    while len(masks) < count:
        some = chance.choices(tokens, k=chance.randint(0, 6))
        masks.append(chance.choice([",", ",", ",", ", ", " ,", ""]).join(some))
    return masks


@pytest.mark.parametrize("order", [None, "PCI_BUS_ID", "pci_bus_id"])
@pytest.mark.parametrize("name", INVENTORIES)
def test_the_simulated_driver_and_the_resolver_agree(name: str, order: str | None) -> None:
    inventory = INVENTORIES[name]
    masks = random_masks(inventory, MASKS // (3 * len(INVENTORIES)) + 1)
    with Machine.create(inventory) as machine:
        shown = state.resolve(machine.directory, masks, order)
    for mask, units in zip(masks, shown, strict=True):
        seen = tuple(inventory.units[unit].uuid for unit in units)
        expected = tuple(unit.uuid for unit in resolve(mask, inventory, device_order=order).devices)
        assert seen == expected, f"CUDA_VISIBLE_DEVICES={mask!r}"
