"""Which process touched which device, and how we know.

Two strengths of evidence, never mixed up: **touched** (the driver saw the process open a context or allocate memory)
and
**probed** (the process never initialised the driver; asked from a program started with the same environment, the driver
shows these devices). The environment variable alone proves nothing.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from .simulator.ledger import LedgerRecord
from .simulator.machine import Machine

QUESTION = "question"
"""The ledger's event for what a process asked NVML."""


READ_BY_DRIVER = ("CUDA_", "NVIDIA_", "GPU_VISIBILITY_", "LD_")
"""How the variables begin that decide which driver a program finds, and what that shows."""


class Evidence(str, enum.Enum):
    """What an :class:`Account` rests on."""

    TOUCHED = "touched"
    INITIALISED = "initialised"
    """The process initialised the driver, saw ``shown``, and opened nothing."""
    PROBED = "probed"
    NONE = "none"
    """The process left no trace in the driver and was gone before it could be probed."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a witness says of one process. Devices are UUIDs.

    ``touched``: in the order of first use. ``shown``: what CUDA showed the process, or would show it, in CUDA's
    order; None where nobody knows. ``visible`` and ``device_order``: the two variables as the driver read them, or as
    they stood when the program was started. ``asked``: which devices the process asked NVML about, for what it may
    decide by ("memory", "topology", "affinity"), as (UUID, kind); None where nobody keeps a record of that.
    ``touched_at``: when each of ``touched`` was first used, in seconds since the epoch; empty where nobody knows.
    ``peers``: devices that it reached from another of its own; None where nobody can see that. ``remasked``: the two
    variables as they stood when a context was opened, where that was not what cuInit had read. ``ppid``: its parent
    when it first used the driver; 0 where nobody knows.
    """

    evidence: Evidence
    touched: tuple[str, ...] = ()
    shown: tuple[str, ...] | None = None
    visible: str | None = None
    device_order: str | None = None
    asked: tuple[tuple[str, str], ...] | None = None
    touched_at: tuple[float, ...] = ()
    peers: tuple[str, ...] | None = None
    remasked: tuple[tuple[str | None, str | None], ...] = ()
    ppid: int = 0


@dataclass(frozen=True, slots=True)
class Suspect:
    """A process by its identity: ``start`` (clock ticks after boot) tells it from a later one with the same pid."""

    pid: int
    start: int
    environ: Mapping[str, str]


class Witness(Protocol):
    """Whatever can say which process touched which device.

    It may also have ``look()``, called whenever something has just happened to the server or is about to, and
    ``close()``, called when the launch has ended.
    """

    def accounts(self, suspects: Iterable[Suspect]) -> dict[int, Account]:
        """One account per pid."""

    def touchers(self, suspects: Iterable[Suspect]) -> set[int]:
        """Those that have touched a device so far. Asked while a server starts, many times a second."""

    def strangers(self, known: Iterable[Suspect]) -> dict[int, Account]:
        """Processes that used the driver and are not among ``known``: too short-lived to be seen in /proc."""


def optional(witness: object, method: str) -> Callable[[], object]:
    """``look`` or ``close`` of a witness; nothing to call where it has none."""
    found: Callable[[], object] = getattr(witness, method, lambda: None)
    return found


class LedgerWitness:
    """The witness of a simulated machine: its ledger, and its driver for the probe."""

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
            visible=suspect.environ.get("CUDA_VISIBLE_DEVICES"),
            device_order=suspect.environ.get("CUDA_DEVICE_ORDER"),
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
