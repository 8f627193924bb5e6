"""The masks on which resolvers are compared, each on a machine: a few hundred, from four sources."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType

from pytest_gpuvisibility import Inventory, Visibility, resolve
from pytest_gpuvisibility.inventory import AnyDevice, Device
from pytest_gpuvisibility.masks.rules import RULES

ROOT = Path(__file__).resolve().parent.parent
ONE_SLICE = "550.54"
"""A driver that shows a process one MIG device; the inventories' own driver may show several."""

WITHOUT_MIG_UUIDS = "460.32"

DISPUTED = (
    "", "-1", "0,2,-1,1", "0,9,1", "0,0", "0,9,0", "1,01", "+1", "+", "--1", "0x1", "1gpu2,2ampere", "0_1", "0,",
    "NoDevFiles", "{1:.12}", "{1}, {0}", "0,{1}", "{1:.12},{1}",
)  # fmt: skip
"""Masks that re-implementations are known to read differently."""

ORDINALS = (
    "-1", "9", "x", "", " ", "+", "--1", "-0", "+1", "00", "01", "0x1", "1.5", "1e0", "1gpu", "0-2", "0:1", "0_1",
    "0 1", "1 ", "\t1", "4294967296", "٣", "²", "NoDevFiles", "all", "gpu-1", "MIG-", "{1}", "{1:.12}",
)  # fmt: skip
"""Elements that stand alone, first, last, in the middle and twice in a list of ordinals."""

UUIDS = (
    "{1}", "{1:.12}", "{1:.13}", "{1:.8}", "{1:upper}", "{1:bare}", " {1}", "{1} ", "{1}x", "GPU-", "gpu-",
    "GPU-00000000", "1", "-1", "", "x", "MIG-{1}/1/0", "{2}",
)  # fmt: skip
"""Elements that stand first, last and in the middle of a list of UUIDs; of ``{3}`` and ``{2}`` besides."""

SLICES = (
    None, "0", "1", "0,1", "1,0", "1,1", "0,9", "9,1", "{0}", "{1}", "{0},{1}", "{2}", "{3}", "{3},{2}", "{2},{2}",
    "{2},0", "0,{2}", "{0},{2}", "{2},{0}", "{3:.12}", "MIG-{1}/1/0", "MIG-{1}/2/0,MIG-{1}/1/0", "MIG-{1:.12}/1/0",
    "MIG-{1}/7/0",
)  # fmt: skip
"""On a machine with a whole GPU, one that is cut, and its two slices, by an old and a new driver."""


class Uuid:
    """A unit's UUID for str.format: with a precision its beginning, ``upper`` all but "GPU-", ``bare`` without that."""

    def __init__(self, unit: AnyDevice) -> None:
        self.uuid = unit.uuid

    def __format__(self, spec: str) -> str:
        kind, digits = self.uuid[:4], self.uuid[4:]
        forms = {"upper": kind + digits.upper(), "bare": digits}
        return forms[spec] if spec in forms else format(self.uuid, spec)


@dataclass(frozen=True)
class Case:
    """A mask (None: not set) on a machine, under CUDA_DEVICE_ORDER (None: not set)."""

    mask: str | None
    inventory: Inventory
    order: str | None = None

    @cached_property
    def visibility(self) -> Visibility:
        return resolve(self.mask, self.inventory, device_order=self.order)

    @property
    def machine(self) -> tuple[str, str]:
        """What tells its machine from the others: the inventory's name and the driver's version."""
        return self.inventory.name, self.inventory.driver_version

    @property
    def shown_mask(self) -> str:
        """The mask for people; see :func:`shown`."""
        if self.mask is None:
            return "unset"
        text = shown(self.mask, self.inventory)
        return f"`{text}`" if text and text == text.strip() else f'`"{text}"`'


def shown(text: str, inventory: Inventory, longest: int = 60) -> str:
    """A text in which whole UUIDs are ``U1`` or ``M1/2/0``, and what cannot be printed is escaped."""
    for unit in (*inventory.units, *inventory.devices):
        text = text.replace(unit.uuid, f"{'U' if isinstance(unit, Device) else 'M'}{label(unit)}")
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def label(unit: AnyDevice) -> str:
    """``2`` for GPU 2, ``1/2/0`` for the slice of GPU 1 with GPU instance 2, compute instance 0."""
    return str(unit.index) if isinstance(unit, Device) else f"{unit.index}/{unit.gpu_instance}/{unit.compute_instance}"


def all_cases() -> list[Case]:
    """Every mask once on each machine and order."""
    cases = [*_from_the_table(), *_from_torch(), *_made()]
    return list({(case.mask, case.order, case.machine): case for case in cases}.values())


def _from_the_table() -> Iterator[Case]:
    for example in (example for rule in RULES for example in rule.examples):
        inventory = Inventory.load(example.inventory)
        if example.driver == WITHOUT_MIG_UUIDS:
            continue  # The simulated NVML has UUIDs for slices, which one of that age has not.
        if example.driver:
            inventory = replace(inventory, driver_version=example.driver)
        yield _case(example.mask, inventory, example.order)


def _from_torch() -> Iterator[Case]:
    tests = _torch_tests()
    for case in tests.CASES:
        yield Case(case.mask, tests.machine(case.uuids))
    yield Case(tests.MIG_MASK, Inventory.load("mig"))


def _torch_tests() -> ModuleType:
    path = ROOT / "tests" / "masks" / "test_torch_parity.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # a dataclass looks its own module up
    spec.loader.exec_module(module)
    return module


def _made() -> Iterator[Case]:
    four, mig, mixed = (Inventory.load(name) for name in ("a100x4", "mig", "mixed4"))
    masks = [*DISPUTED]
    for element in ORDINALS:
        masks += [element, f"{element},3", f"3,{element}", f"3,{element},2", f"{element},{element}"]
    for element in UUIDS:
        masks += [f"{element},{{3}}", f"{{3}},{element}", f"{{3}},{element},{{2}}"]
    for mask in masks:
        yield _case(mask, four)
    for on_slices in SLICES:
        yield _case(on_slices, mig)
        yield _case(on_slices, replace(mig, driver_version=ONE_SLICE))
    for ordered in (None, "0", "1,3", "3,2,1,0", "0,9", "{0},{3}"):
        for order in (None, "PCI_BUS_ID", "FASTEST_FIRST"):
            yield _case(ordered, mixed, order)


def _case(mask: str | None, inventory: Inventory, order: str | None = None) -> Case:
    return Case(mask and mask.format(*map(Uuid, inventory.units)), inventory, order)
