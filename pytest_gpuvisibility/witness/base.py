"""What a witness is, and what it says: which process touched which device, and how we know.

Two strengths of evidence, never mixed up: **touched** (the driver saw the process open a context or allocate memory)
and **probed** (the process never initialised the driver; asked from a program started with the same environment, the
driver shows these devices). The environment variable alone proves nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol


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
