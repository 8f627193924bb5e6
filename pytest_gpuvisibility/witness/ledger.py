"""The witness of a simulated machine: its ledger, and its driver for the probe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..environment import MASK, ORDER, OURS
from ..records import Account, Evidence
from ..simulator import LedgerRecord, Machine, by_process
from .base import ProcessRef

QUESTION = "question"
"""The ledger's event for what a process asked NVML."""


READ_BY_DRIVER = ("CUDA_", "NVIDIA_", OURS, "LD_")
"""How the variables begin that decide which driver a program finds, and what that shows."""


class LedgerWitness:
    """See the module."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._read = 0
        self._touchers: set[tuple[int, int]] = set()
        self._probed: dict[tuple[tuple[str, str], ...], tuple[str, ...]] = {}

    def accounts(self, processes: Iterable[ProcessRef]) -> dict[int, Account]:
        records = self._records()
        return {
            process.pid: self._account(process, records.get((process.pid, process.start), [])) for process in processes
        }

    def touching(self, processes: Iterable[ProcessRef]) -> set[int]:
        size = self._machine.ledger.size
        if size != self._read:
            self._read = size
            records = self._machine.ledger.records()
            self._touchers = {(record.pid, record.start) for record in records if record.touched is not None}
        return {process.pid for process in processes if (process.pid, process.start) in self._touchers}

    def unknown_processes(self, known: Iterable[ProcessRef]) -> dict[int, Account]:
        identities = {(process.pid, process.start) for process in known}
        return {
            identity[0]: _from_records(records)
            for identity, records in self._records().items()
            if identity not in identities
        }

    def _records(self) -> dict[tuple[int, int], list[LedgerRecord]]:
        return by_process(self._machine.ledger.records())

    def _account(self, process: ProcessRef, records: list[LedgerRecord]) -> Account:
        if any(record.event != QUESTION for record in records):
            return _from_records(records)
        return replace(self._probe(process), asked=_asked(records))

    def _probe(self, process: ProcessRef) -> Account:
        if not process.environ:
            return Account(Evidence.NONE)
        return Account(
            Evidence.PROBED,
            shown=self._shown(process.environ),
            visible=process.environ.get(MASK),
            device_order=process.environ.get(ORDER),
            peers=(),
        )

    def _shown(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """What the driver shows to a program under this environment; asked once for all that it cannot tell apart."""
        key = tuple(sorted(item for item in environ.items() if item[0].startswith(READ_BY_DRIVER)))
        if key not in self._probed:
            self._probed[key] = tuple(device.uuid for device in self._machine.probe(environ).devices)
        return self._probed[key]


def _from_records(records: list[LedgerRecord]) -> Account:
    touched: dict[str, float] = {}
    for record in records:
        if record.touched is not None:
            touched.setdefault(record.touched, record.time)
    of_cuda = [record for record in records if record.event != QUESTION]
    first = next((record for record in of_cuda if record.event == "init"), records[0])
    return Account(
        Evidence.TOUCHED if touched else Evidence.INITIALISED if of_cuda else Evidence.NONE,
        touched=tuple(touched),
        shown=first.visible,
        visible=first.cuda_visible_devices,
        device_order=first.cuda_device_order,
        asked=_asked(records),
        touched_at=tuple(touched.values()),
        peers=tuple(dict.fromkeys(r.uuid for r in records if r.event == "peer" and r.result == 0 and r.uuid)),
        ppid=records[0].ppid,
        remasked=tuple(
            dict.fromkeys((r.cuda_visible_devices, r.cuda_device_order) for r in records if r.event == "remask")
        ),
    )


def _asked(records: list[LedgerRecord]) -> tuple[tuple[str, str], ...]:
    """What NVML was asked, each once."""
    return tuple(
        dict.fromkeys(
            (record.uuid, record.function)
            for record in records
            if record.event == QUESTION and record.uuid and record.function
        )
    )
