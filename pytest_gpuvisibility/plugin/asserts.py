"""Assertions about who touched which device. Their messages show a table of processes and devices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..environment import MASK, printable, quoted_mask
from ..errors import UserError
from ..inventory import AnyDevice, Device, Inventory, MigDevice, label
from ..simulator import LedgerRecord, by_process

TOUCHED, OUT_OF_BOUNDS, PERMITTED, NOTHING = "touched", "OUT OF BOUNDS", "permitted", "-"


@dataclass(frozen=True)
class GpuProcess:
    """One process that initialised the driver.

    ``touched``: devices on which it opened a context or allocated memory, in the order of first use. ``visible``: what
    CUDA showed it, in CUDA's order; empty where cuInit failed. ``mask``: CUDA_VISIBLE_DEVICES as cuInit read it, None
    for not set.
    """

    pid: int
    ppid: int
    argv0: str
    mask: str | None
    visible: tuple[AnyDevice, ...]
    touched: tuple[AnyDevice, ...]
    records: tuple[LedgerRecord, ...]


class Touched(Protocol):
    """What is asserted about: a ``GpuRun``, or a whole ``gpu_machine``."""

    @property
    def inventory(self) -> Inventory: ...

    @property
    def permitted(self) -> tuple[AnyDevice, ...]: ...

    @property
    def processes(self) -> tuple[GpuProcess, ...]: ...


class TouchedDevices(frozenset[AnyDevice]):
    """Devices that processes touched. Where a test compares them with others and they differ, it shows the table."""

    run: Touched

    @classmethod
    def of(cls, run: Touched) -> TouchedDevices:
        found = cls(device for process in run.processes for device in process.touched)
        found.run = run
        return found

    def __repr__(self) -> str:
        return f"{{{', '.join(map(repr, sorted(self, key=lambda device: (device.index, device.uuid))))}}}"


def compared(left: object, right: object) -> list[str] | None:
    """What an assert says of touched devices that are not those expected; None where it is about something else."""
    touched, expected = (left, right) if isinstance(left, TouchedDevices) else (right, left)
    if not isinstance(touched, TouchedDevices) or not isinstance(expected, (set, frozenset)):
        return None
    known = [device for device in expected if isinstance(device, (Device, MigDevice))]
    missing, beyond = _list(set(known) - touched), _list(touched - expected)
    return [
        f"touched {_list(touched)}, expected {_list(known)}",
        f"not touched: {missing}; not expected: {beyond}",
        *table(touched.run, known),
    ]


def processes_of(records: Iterable[LedgerRecord], inventory: Inventory) -> tuple[GpuProcess, ...]:
    """The processes in a ledger, by their first record."""
    return tuple(_process(tuple(found), inventory) for found in by_process(records).values())


def _process(records: Sequence[LedgerRecord], inventory: Inventory) -> GpuProcess:
    first = next((record for record in records if record.event == "init"), records[0])
    touched = dict.fromkeys(record.touched for record in records if record.touched is not None)
    return GpuProcess(
        pid=first.pid,
        ppid=first.ppid,
        argv0=first.argv0,
        mask=first.cuda_visible_devices,
        visible=tuple(inventory.by_uuid(uuid) for uuid in first.visible or ()),
        touched=tuple(inventory.by_uuid(uuid) for uuid in touched),
        records=tuple(records),
    )


def assert_touched_only(run: Touched, devices: Iterable[AnyDevice] | None = None) -> None:
    """No process of a run, or of a ``gpu_machine``, touched a device that is not among ``devices``.

    :param devices: by default those that the mask permits. A GPU stands for its MIG slices too.
    :raises AssertionError: one did; the message has the table.
    :raises UserError: ``devices`` are not devices of this machine.
    """
    __tracebackhide__ = True
    permitted = run.permitted if devices is None else _checked(devices, run.inventory)
    _judge(run, permitted, f"only {_list(permitted)} {'was' if len(permitted) == 1 else 'were'} permitted")


def assert_nothing_touched(run: Touched) -> None:
    """No process of a run, or of a ``gpu_machine``, touched any device.

    :raises AssertionError: one did; the message has the table.
    """
    __tracebackhide__ = True
    _judge(run, (), "no device was to be touched")


def _judge(run: Touched, permitted: Sequence[AnyDevice], rule: str) -> None:
    __tracebackhide__ = True
    allowed = {device.uuid for device in permitted}
    wrong = [
        f"{_name(process)} touched {_list(beyond)}"
        for process in run.processes
        if (beyond := [device for device in process.touched if not _within(device, allowed)])
    ]
    if wrong:
        raise AssertionError("\n".join([f"{'; '.join(wrong)}, but {rule}", "", *table(run, permitted)]))


def table(run: Touched, permitted: Sequence[AnyDevice]) -> list[str]:
    """Lines of text: for each process and device ``touched``, ``OUT OF BOUNDS``, ``permitted`` or ``-``."""
    allowed = {device.uuid for device in permitted}
    units = [unit for unit in run.inventory.units if not isinstance(unit, MigDevice) or _concerned(unit, run)]
    rows = [["process", *(label(unit) for unit in units), MASK]]
    for process in run.processes:
        mask = quoted_mask(process.mask)
        rows.append([_name(process), *(_cell(unit, process, allowed) for unit in units), mask])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cell(device: AnyDevice, process: GpuProcess, allowed: set[str]) -> str:
    if device in process.touched:
        return TOUCHED if _within(device, allowed) else OUT_OF_BOUNDS
    return PERMITTED if _within(device, allowed) else NOTHING


def _concerned(unit: MigDevice, run: Touched) -> bool:
    return unit in run.permitted or any(unit in process.touched for process in run.processes)


def _within(device: AnyDevice, allowed: set[str]) -> bool:
    return device.uuid in allowed or (isinstance(device, MigDevice) and device.parent_uuid in allowed)


def _checked(devices: Iterable[AnyDevice], inventory: Inventory) -> tuple[AnyDevice, ...]:
    if not isinstance(devices, Iterable) or isinstance(devices, str):
        raise UserError(f"Give several devices of the machine, such as gpu_machine.devices[2:], not {devices!r}.")
    found = tuple(devices)
    for device in found:
        if device not in inventory.units:
            raise UserError(
                f"{device!r} is no device of inventory {inventory.name}. Give elements of gpu_machine.devices, such as"
                " gpu_machine.devices[2:]."
            )
    return found


def _name(process: GpuProcess) -> str:
    return f"{printable(Path(process.argv0).name) or 'process'} {process.pid}"


def _list(devices: Iterable[AnyDevice]) -> str:
    return ", ".join(label(device) for device in devices) or "no device"
