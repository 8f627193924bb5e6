"""What a witness is, and what it says: which process touched which device, and how we know.

Two strengths of evidence, never mixed up: **touched** (the driver saw the process open a context or allocate memory)
and **probed** (the process never initialised the driver; asked from a program started with the same environment, the
driver shows these devices). The environment variable alone proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ..records import Account


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """A process by its identity: ``start`` (clock ticks after boot) tells it from a later one with the same pid."""

    pid: int
    start: int
    environ: Mapping[str, str]


class Witness(Protocol):
    """Whatever can say which process touched which device.

    It may also have ``look()``, called whenever something has just happened to the server or is about to, and
    ``close()``, called when the launch has ended.
    """

    def accounts(self, processes: Iterable[ProcessRef]) -> dict[int, Account]:
        """One account per pid."""

    def touching(self, processes: Iterable[ProcessRef]) -> set[int]:
        """Those that have touched a device so far. Asked while a server starts, many times a second."""

    def unknown_processes(self, known: Iterable[ProcessRef]) -> dict[int, Account]:
        """Processes that used the driver and are not among ``known``: too short-lived to be seen in /proc."""


def optional(witness: object, method: str) -> Callable[[], object]:
    """``look`` or ``close`` of a witness; nothing to call where it has none."""
    found: Callable[[], object] = getattr(witness, method, lambda: None)
    return found
