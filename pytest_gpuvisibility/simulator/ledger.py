"""What the simulated driver recorded: which process initialised it under which mask, and what it opened."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import UserError
from . import state

EVENTS = ("init", "context", "alloc", "refused", "launch", "peer", "remask", "question")
"""What a record can be of; enum gv_event of native/core/ledger.h, in its order."""


class LedgerDamaged(UserError):
    """A line of a ledger is not a record, or records are missing: the disk was full, or something else wrote to the
    file. What such a ledger does not say may have happened all the same.
    """


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """One thing that a process did to the simulated driver, or had refused.

    event: one of EVENTS. "init" (cuInit), "context" (a context was opened), "alloc" (device memory was allocated),
    "refused" (a function that the simulation does not offer), "launch" (a kernel launch that did nothing, on a
    machine with launch="noop"), "peer" (the process reaches memory of one of its devices from another; the one that
    is not at home there), "remask" (a context is opened under a mask other than the one that cuInit read: the
    variables are those of that moment) or "question" (on a machine with questions=True: NVML was asked for what
    decisions rest on, which is the function here: "memory", "topology" or "affinity").
    result: the CUresult that the program was given, 0 for success. Only an event with result 0 touched a
    device.
    uuid: the GPU or MIG slice concerned. visible: UUIDs in CUDA's order, on "init" alone. bytes: on "alloc"
    alone. cuda_visible_devices, cuda_device_order: what cuInit read, None where the variable was not set,
    bytes that are no UTF-8 as surrogate escapes; truncated: one of them was longer than is kept.
    count: of the same event, device, function and result in this process, it was the count-th; only the 1st,
    2nd, 4th, 8th ... are recorded. start: the process's start in clock ticks after boot; (pid, start) names a
    process for good.
    """

    time: float
    pid: int
    ppid: int
    start: int
    argv0: str
    event: str
    uuid: str | None
    cuda_visible_devices: str | None
    cuda_device_order: str | None
    result: int
    count: int
    visible: tuple[str, ...] | None = None
    function: str | None = None
    bytes: int | None = None
    truncated: bool = False

    @property
    def touched(self) -> str | None:
        """UUID of the device that this record proves was used: a context or memory that was really given."""
        return self.uuid if self.result == 0 and self.event in ("context", "alloc") else None


def by_process(records: Iterable[LedgerRecord]) -> dict[tuple[int, int], list[LedgerRecord]]:
    """Records by the pid and the start of their process, in the order of their first."""
    found: dict[tuple[int, int], list[LedgerRecord]] = {}
    for record in records:
        found.setdefault((record.pid, record.start), []).append(record)
    return found


_FIELDS = frozenset(field.name for field in fields(LedgerRecord))


class Ledger:
    """The ledger file of one machine; read anew at each call, while programs append to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def size(self) -> int:
        """In bytes: the same as long as nothing was added."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def records(self) -> list[LedgerRecord]:
        """Every record so far, oldest first, without a last line that is still being written.

        :raises LedgerDamaged: a line is not a record, or a program could not write one.
        """
        self._check_complete()
        try:
            written = self.path.read_bytes()
        except FileNotFoundError:
            return []
        lines = written.split(b"\n")[:-1]
        return [self._record(number, line) for number, line in enumerate(lines, start=1)]

    def _check_complete(self) -> None:
        """A ledger beside no machine's state, such as a copy of one, is taken as it is."""
        directory = self.path.parent
        lost = state.lost_records(directory) if (directory / "state").exists() else 0
        if lost:
            raise LedgerDamaged(
                f"{self.path} lacks {lost} record{'s' if lost > 1 else ''} that could not be written. Was the disk"
                " full, or a limit on the size of files (ulimit -f) in force? Make room and run again."
            )

    def _record(self, number: int, line: bytes) -> LedgerRecord:
        try:
            values: dict[str, Any] = json.loads(line)
            if values.get("visible") is not None:
                values["visible"] = tuple(values["visible"])
            return LedgerRecord(**{key: value for key, value in values.items() if key in _FIELDS})
        except (ValueError, TypeError, AttributeError) as error:
            raise LedgerDamaged(
                f"Line {number} of {self.path} is not a ledger record ({error}): {line[:200]!r}."
                " Was the disk full, or did another program write to it?"
            ) from error
