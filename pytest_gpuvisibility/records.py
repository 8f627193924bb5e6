"""What a launch *is*, as plain data: what is to be launched and done, and what became of it.

A :class:`Scenario` says what to launch and what to do to it; a :class:`LaunchRecord` is what was seen, and is judged by
any number of rules. :mod:`.plain` writes all of it as JSON and reads it again. Nothing here does anything.

In this order: what is to be launched and done; what was seen of its processes; what happened to it, and what it said;
the whole record; what the CUDA driver itself was asked.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from .environment import describe_mask, shortened_mask
from .profile import Option

UNITS: Mapping[str, int] = {"bytes": 1, "mib": 1 << 20, "gib": 1 << 30}
SUCCESS, NO_DEVICE, NO_DRIVER = 0, 100, -1
"""What the probe answers: cuInit's CUresult, or -1 where no libcuda.so.1 with the functions it needs was found."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do to a server that is ready: a name in :data:`ACTION_WORDS`, and what else it needs to know.

    - ``idle``: make one more request to each worker, then wait for the profile's ``idle`` seconds, or until the
      launcher ends. What a thread does after the first requests is seen then.
    - ``second_model``: make the profile's request of that name, which loads another model or adds a worker.
    - ``kill_worker``: kill the last group's worker, and each that takes its place, ``times`` at most.
    - ``reload``: have the last group's worker give its model up and take it again, ``times``.
    - ``beside``: start the server once more on the same machine, under the mask ``visible``, while the first one runs.
    """

    name: str
    values: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, name: str, **values: object) -> Action:
        return cls(name, tuple((key, str(value)) for key, value in values.items()))

    def __getitem__(self, key: str) -> str:
        return dict(self.values)[key]

    def describe(self) -> str:
        """A few words for the line that describes a launch."""
        return ACTION_WORDS[self.name].format_map(dict(self.values))


ACTION_WORDS: Mapping[str, str] = {
    "idle": "then asked again and idle",
    "second_model": "then a second model",
    "kill_worker": "a worker killed up to {times} times",
    "reload": "a model given up and taken again {times} times",
    "beside": "beside a second server with CUDA_VISIBLE_DEVICES={visible}",
}
IDLE = Action("idle")
SECOND_MODEL = Action("second_model")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One launch. ``visible`` and ``device_order`` are the two CUDA variables; None means unset."""

    inventory: str = "a100x8"
    visible: str | None = None
    device_order: str | None = None
    groups: int = 1
    devices: int = 1
    layout: str | None = None
    """Replaces ``{groups}…{devices}`` in the command: for layouts that no two numbers can express."""
    nvidia_smi: bool = True
    worker_dies_in_setup: bool = False
    ending: str = "stop"
    """``stop`` as the profile says, a signal to the launcher, or ``kill-workers``."""
    ends_in_setup: bool = False
    """The ending comes as soon as every worker has been started, before any of them is ready."""
    refused_first: int = 0
    """Launched before, on the same machine and ports and with the same files, with so many devices a group."""
    environ: tuple[tuple[str, str], ...] = ()
    """Further variables of the server's environment."""
    faults: tuple[str, ...] = ()
    """What is wrong with the machine's driver, of :data:`inventory.MACHINE_FAULTS`."""
    device_nodes: bool = False
    """/dev has the nodes of the inventory's GPUs, where the caller may arrange that."""
    options: tuple[Option, ...] = ()
    """Entries of the profile's ``[server.options]`` that the command gets."""
    actions: tuple[Action, ...] = ()
    """What is done once every worker has answered a request."""

    @property
    def key(self) -> str:
        """The same for the same launch, in every process."""
        return _key(dataclasses.astuple(self))

    @property
    def needs_simulation(self) -> str:
        """What of it no real machine can be brought to, in words; empty where there is nothing."""
        if not self.nvidia_smi:
            return "a machine without nvidia-smi"
        if self.faults:
            return f"a machine with {', '.join(self.faults)}"
        return "device nodes of an inventory" if self.device_nodes else ""

    @property
    def asked(self) -> int:
        """How many devices the layout asks for."""
        return self.groups * self.devices

    def describe(self) -> str:
        """One line that a person can read: the variables, the layout, what was done."""
        parts = [describe_mask(self.visible)]
        if self.device_order is not None:
            parts.append(f"CUDA_DEVICE_ORDER={self.device_order}")
        parts.append(f"layout {self.layout!r}" if self.layout is not None else _layout_words(self.groups, self.devices))
        parts[1:1] = [f"{name}={value}" for name, value in self.environ]
        parts += [option.describe() for option in self.options]
        if not self.nvidia_smi:
            parts.append("no nvidia-smi on PATH")
        parts += self.faults
        if self.refused_first:
            parts.append(f"after a launch of {_layout_words(self.groups, self.refused_first)}")
        if self.worker_dies_in_setup:
            parts.append("one worker killed while it starts")
        parts += [action.describe() for action in self.actions]
        if self.ending == "kill-workers":
            parts.append("all workers killed")
        elif self.ending != "stop":
            parts.append(f"{self.ending} to the launcher" + " while it loads" * self.ends_in_setup)
        return ", ".join(parts)


def _layout_words(groups: int, devices: int) -> str:
    return f"{groups} group{'s' if groups != 1 else ''} of {devices}"


def _key(values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


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
    """One process of a launch: who it is, and what the witness says of it."""

    pid: int
    ppid: int
    role: str
    group: int | None
    argv: tuple[str, ...]
    account: Account

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
    did), ``not-ready`` (the server says so), or ``ready`` (it said so still, with nobody in the worker's place, when
    its time to react was over). ``said``: the profile's report of workers, as it stood then.
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

    ``outcome`` is ``ready`` (every worker answered a request), ``exited`` (the launcher ended first), ``timeout``, or
    ``waiting``: also neither ready nor ended, asked for more than is permitted, and the profile declares that it waits.
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

    @property
    def workers(self) -> tuple[ProcessRecord, ...]:
        return tuple(process for process in self.processes if process.role == "worker")

    @property
    def inventory(self) -> str:
        return self.scenario.inventory

    @property
    def ready(self) -> bool:
        return self.outcome == "ready"


@dataclass(frozen=True, slots=True)
class MaskQuery:
    """The two CUDA variables of a process; None means unset."""

    visible: str | None = None
    device_order: str | None = None

    @property
    def key(self) -> str:
        """The same for the same query, in every process."""
        return _key([self.visible, self.device_order])

    def describe(self) -> str:
        """The variables as one would type them, without most of a UUID and of a long list."""
        order = "" if self.device_order is None else f", CUDA_DEVICE_ORDER={shortened_mask(self.device_order)}"
        return describe_mask(self.visible and shortened_mask(self.visible)) + order


@dataclass(frozen=True, slots=True)
class MaskAnswer:
    """What the driver showed: cuInit's ``result``, and UUIDs in CUDA's order, as the inventory writes them.

    ``admissible`` are the lists of UUIDs that the resolver allows, its default first.
    """

    query: MaskQuery
    result: int
    devices: tuple[str, ...]
    admissible: tuple[tuple[str, ...], ...]

    @property
    def admitted(self) -> bool:
        """Whether the resolver allows it. To show no device is to fail with CUDA_ERROR_NO_DEVICE."""
        return self.devices in self.admissible and self.result == (SUCCESS if self.devices else NO_DEVICE)

    @property
    def settled(self) -> bool:
        """Whether the evidence allows one answer only."""
        return len(self.admissible) == 1
