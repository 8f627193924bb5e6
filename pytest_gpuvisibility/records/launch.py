"""What happened in a launch, what the server said, and the whole record of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from .process import ProcessRecord
from .scenario import Action, Scenario

UNITS: Mapping[str, int] = {"bytes": 1, "mib": 1 << 20, "gib": 1 << 30}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened while a server was observed, for people.

    ``seconds`` and ``until`` count from the launch; ``until`` is None for what has no duration. ``kind``: ``launch``,
    ``process`` (lived from ``seconds`` until ``until``, or still does), ``ready``, ``exited``, ``timeout``,
    ``request``, ``signal`` or ``end``.
    """

    seconds: float
    kind: str
    text: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class SelfReport:
    """What one report of the server's own said: what its pattern found, by named group; ``error`` where it could not be
    asked.
    """

    found: tuple[dict[str, str], ...] = ()
    error: str = ""

    def sizes(self, what: str) -> list[tuple[dict[str, str], int]]:
        """Every ``total`` or ``planned`` amount of memory found, in bytes, with what it was found in.

        What is no number, or none that memory could have (metrics may be NaN), is left out.
        """
        amounts = (
            (found, found[f"{what}_{unit}"], factor)
            for found in self.found
            for unit, factor in UNITS.items()
            if f"{what}_{unit}" in found
        )
        return [(found, round(float(text) * factor)) for found, text, factor in amounts if _is_number(text)]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class WorkerKill:
    """A worker that was killed, and what the server did about it.

    ``outcome``: ``replaced`` (another worker of its group answers, ``replacement`` is its pid), ``ended`` (the launcher
    did), ``not-ready`` (the server says so), ``untouched`` (another worker of its group is there, and has not touched a
    device as its predecessor had), or ``ready`` (it said so still, with nobody in the worker's place, when its time to
    react was over). ``said``: the profile's report of workers, as it stood then.
    """

    group: int
    pid: int
    outcome: str
    seconds: float
    replacement: int | None = None
    said: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ActionResult:
    """An action that was done: what it was, when it began (seconds since the epoch), and why it failed, if it did."""

    action: Action
    began: float
    error: str = ""
    worker_kills: tuple[WorkerKill, ...] = ()
    """Of ``kill_worker``: one for each worker that was killed."""


@dataclass(frozen=True, slots=True)
class LaunchRecord:
    """What became of one scenario.

    ``outcome`` is ``ready`` (every request was answered), ``exited`` (the launcher ended first), ``timeout``,
    ``unanswered`` (it gave its sign of readiness, and did not answer every request in time), or ``waiting``: neither
    ready nor ended, asked for more than is permitted, and the profile declares that it waits.
    ``seconds`` is how long that took. ``exit_code`` is the launcher's, negative for a signal, None while it runs:
    ``exit_code`` at that moment and ``final_exit_code`` after the ending. ``survivors`` describes the processes and
    ports that were still there when the ending's deadline had passed. ``self_reports``: what a ready server said of
    itself, by the name of the report. ``refusal``: what became of the launch before, with its exit code.
    ``remarks``: what the scenario asked for and this machine does not allow. ``action_results`` are the scenario's
    actions as they went; ``beside`` are the servers that ran on the same machine at the same time, for as long as this
    one.
    """

    scenario: Scenario
    command: tuple[str, ...]
    permitted: tuple[str, ...]
    began: float
    outcome: str
    seconds: float
    exit_code: int | None
    processes: tuple[ProcessRecord, ...]
    requests: dict[str, str]
    final_exit_code: int | None
    farewell_seconds: float
    survivors: tuple[str, ...]
    reports_ready: bool
    """After a worker died in set-up: the front door is open, or every worker that is left answers."""
    environ: dict[str, str] = field(default_factory=dict, repr=False)
    """What the profile adds to the environment, filled in."""
    revived: bool = False
    """After all workers were killed: every group had one again."""
    says_ready: bool = False
    """Once every worker had answered: its health url said so, or its front door was open."""
    self_reports: dict[str, SelfReport] = field(default_factory=dict)
    refusal: tuple[str, int | None] | None = None
    remarks: tuple[str, ...] = ()
    stdout: str = field(default="", repr=False)
    stderr: str = field(default="", repr=False)
    events: tuple[Event, ...] = field(default=(), repr=False)
    action_results: tuple[ActionResult, ...] = ()
    beside: tuple[LaunchRecord, ...] = ()
    skipped_kernel_launches: int = 0
    """On the machine, those that did nothing: where there are any, no value that was computed is real."""
    settled: float = 0.0
    """When every worker had answered its first request, or the launch had failed, in seconds since the epoch. What is
    touched later is not part of the start."""
    touch_expected: bool = False
    """Workers of this server have touched devices before, and these were waited for to do the same."""
    victim: int | None = None
    """The worker that was killed while it started; None where none was, or none could be told to be one."""
    unplaced: tuple[str, ...] = ()
    """Workers whose number, as the profile's pattern captured it, is that of no group: the profile is wrong."""

    @property
    def workers(self) -> tuple[ProcessRecord, ...]:
        return tuple(process for process in self.processes if process.role == "worker")

    @property
    def inventory(self) -> str:
        return self.scenario.inventory

    @property
    def ready(self) -> bool:
        return self.outcome == "ready"
