"""The witness of a simulated machine: its ledger, and its driver for the probe."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..environment import MASK, ORDER, OURS
from ..simulator.ledger import LedgerRecord
from ..simulator.machine import Machine
from .base import Account, Evidence, Suspect

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

    def accounts(self, suspects: Iterable[Suspect]) -> dict[int, Account]:
        records = self._records()
        return {
            suspect.pid: self._account(suspect, records.get((suspect.pid, suspect.start), [])) for suspect in suspects
        }

    def touchers(self, suspects: Iterable[Suspect]) -> set[int]:
        size = self._machine.ledger.size
        if size != self._read:
            self._read = size
            records = self._machine.ledger.records()
            self._touchers = {(record.pid, record.start) for record in records if record.touched is not None}
        return {suspect.pid for suspect in suspects if (suspect.pid, suspect.start) in self._touchers}

    def strangers(self, known: Iterable[Suspect]) -> dict[int, Account]:
        identities = {(suspect.pid, suspect.start) for suspect in known}
        return {
            identity[0]: _from_records(records)
            for identity, records in self._records().items()
            if identity not in identities
        }

    def _records(self) -> dict[tuple[int, int], list[LedgerRecord]]:
        by_process: dict[tuple[int, int], list[LedgerRecord]] = defaultdict(list)
        for record in self._machine.ledger.records():
            by_process[record.pid, record.start].append(record)
        return by_process

    def _account(self, suspect: Suspect, records: list[LedgerRecord]) -> Account:
        if any(record.event != QUESTION for record in records):
            return _from_records(records)
        return replace(self._probe(suspect), asked=_asked(records))

    def _probe(self, suspect: Suspect) -> Account:
        if not suspect.environ:
            return Account(Evidence.NONE)
        return Account(
            Evidence.PROBED,
            shown=self._shown(suspect.environ),
            visible=suspect.environ.get(MASK),
            device_order=suspect.environ.get(ORDER),
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
