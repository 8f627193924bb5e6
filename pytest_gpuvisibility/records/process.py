"""What was seen of one process of a launch."""

from __future__ import annotations

import enum
from dataclasses import dataclass


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
class ProcessRecord:
    """One process of a launch: who it is, and what the witness says of it.

    ``told_by``: the keys of the profile's pattern that made it a worker or balancer, such as ``argv``.
    """

    pid: int
    ppid: int
    role: str
    group: int | None
    argv: tuple[str, ...]
    account: Account
    told_by: str = ""

    @property
    def evidence(self) -> Evidence:
        return self.account.evidence

    @property
    def touched(self) -> tuple[str, ...]:
        """UUIDs, in the order of first use."""
        return self.account.touched

    @property
    def shown(self) -> tuple[str, ...] | None:
        """UUIDs in CUDA's order; None where nobody knows what the process saw."""
        return self.account.shown

    def touched_by(self, moment: float) -> tuple[str, ...]:
        """The devices that it had touched by then; all of them where nobody knows when it did."""
        if not self.account.touched_at:
            return self.touched
        return tuple(uuid for uuid, when in zip(self.touched, self.account.touched_at, strict=True) if when <= moment)

    def uses(self, devices_per_group: int) -> tuple[str, ...] | None:
        """The devices it touched; for one that touched nothing, those that it is bound to use.

        A worker that is shown no more devices than its group has is bound to them. One that is shown more may bind by
        ordinal, which is legal without a mask of its own: then nobody can say, and this is None.
        """
        if self.touched:
            return self.touched
        if self.shown is None or len(self.shown) > max(devices_per_group, 0):
            return None
        return self.shown
