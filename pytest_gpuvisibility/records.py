"""One launch of the server under test: what to launch and do, and what was seen.

A :class:`Scenario` says what to launch and what to do to it; a :class:`Fleet` is what was seen, as plain data, and is
judged by any number of rules.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .launch.actions import Act, Deed
from .profile.files import Option
from .server.process import Event
from .server.self_reports import Statement
from .witness.base import Evidence


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
    acts: tuple[Act, ...] = ()
    """What is done once every worker has answered a request."""

    @property
    def key(self) -> str:
        """The same for the same launch, in every process."""
        return hashlib.sha256(json.dumps(dataclasses.astuple(self)).encode()).hexdigest()[:16]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scenario:
        """The inverse of :func:`dataclasses.asdict` after a journey through JSON."""
        return cls(
            **{
                **data,
                "environ": tuple((name, value) for name, value in data["environ"]),
                "faults": tuple(data["faults"]),
                "options": tuple(map(Option.from_dict, data["options"])),
                "acts": tuple(map(Act.from_dict, data["acts"])),
            }
        )

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
        parts += [act.describe() for act in self.acts]
        if self.ending == "kill-workers":
            parts.append("all workers killed")
        elif self.ending != "stop":
            parts.append(f"{self.ending} to the launcher" + " while it loads" * self.ends_in_setup)
        return ", ".join(parts)


def describe_mask(visible: str | None) -> str:
    """The variable as one would type it."""
    if visible is None:
        return "CUDA_VISIBLE_DEVICES unset"
    return f"CUDA_VISIBLE_DEVICES={visible}" if visible else 'CUDA_VISIBLE_DEVICES=""'


def _layout_words(groups: int, devices: int) -> str:
    return f"{groups} group{'s' if groups != 1 else ''} of {devices}"


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process of a fleet. Devices are UUIDs; ``shown`` is None where nobody knows what the process saw."""

    pid: int
    ppid: int
    role: str
    group: int | None
    argv: tuple[str, ...]
    evidence: Evidence
    touched: tuple[str, ...]
    shown: tuple[str, ...] | None
    visible: str | None
    device_order: str | None
    asked: tuple[tuple[str, str], ...] | None = None
    """What it asked NVML about, as :class:`Account` has it; so are the next three."""
    touched_at: tuple[float, ...] = ()
    peers: tuple[str, ...] | None = None
    remasked: tuple[tuple[str | None, str | None], ...] = ()

    def touched_by(self, moment: float) -> tuple[str, ...]:
        """The devices that it had touched by then; all of them where nobody knows when it did."""
        if not self.touched_at:
            return self.touched
        return tuple(uuid for uuid, when in zip(self.touched, self.touched_at, strict=True) if when <= moment)

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
class Fleet:
    """What became of one scenario.

    ``outcome`` is ``ready`` (every worker answered a request), ``exited`` (the launcher ended first), ``timeout``, or
    ``waiting``: also neither ready nor ended, asked for more than is permitted, and the profile declares that it waits.
    ``seconds`` is how long that took. ``exit_code`` is the launcher's, negative for a signal, None while it runs:
    ``exit_code`` at that moment and ``final_exit_code`` after the ending. ``survivors`` describes the processes and
    ports that were still there when the ending's deadline had passed. ``statements``: what a ready server said of
    itself, by the name of the report. ``refusal``: what became of the launch before, with its exit code.
    ``remarks``: what the scenario asked for and this machine does not allow. ``deeds`` are the scenario's acts as they
    went; ``beside`` are the servers that ran on the same machine at the same time, for as long as this one.
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
    statements: dict[str, Statement] = field(default_factory=dict)
    refusal: tuple[str, int | None] | None = None
    remarks: tuple[str, ...] = ()
    stdout: str = field(default="", repr=False)
    stderr: str = field(default="", repr=False)
    events: tuple[Event, ...] = field(default=(), repr=False)
    deeds: tuple[Deed, ...] = ()
    beside: tuple[Fleet, ...] = ()
    skipped_launches: int = 0
    """Kernel launches on the machine that did nothing: where there are any, no value that was computed is real."""
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

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Fleet:
        """The inverse of :meth:`as_dict` after a journey through JSON."""
        processes = tuple(
            ProcessRecord(
                **{
                    **process,
                    "argv": tuple(process["argv"]),
                    "evidence": Evidence(process["evidence"]),
                    "touched": tuple(process["touched"]),
                    "shown": None if process["shown"] is None else tuple(process["shown"]),
                    "touched_at": tuple(process["touched_at"]),
                    "peers": None if process["peers"] is None else tuple(process["peers"]),
                    "remasked": tuple((visible, order) for visible, order in process["remasked"]),
                    "asked": None
                    if process["asked"] is None
                    else tuple((uuid, kind) for uuid, kind in process["asked"]),
                }
            )
            for process in data["processes"]
        )
        return cls(
            **{
                **data,
                "scenario": Scenario.from_dict(data["scenario"]),
                "command": tuple(data["command"]),
                "permitted": tuple(data["permitted"]),
                "survivors": tuple(data["survivors"]),
                "processes": processes,
                "events": tuple(Event(**event) for event in data["events"]),
                "statements": {name: Statement.from_dict(found) for name, found in data["statements"].items()},
                "refusal": None if data["refusal"] is None else (data["refusal"][0], data["refusal"][1]),
                "remarks": tuple(data["remarks"]),
                "deeds": tuple(map(Deed.from_dict, data["deeds"])),
                "beside": tuple(map(cls.from_dict, data["beside"])),
            }
        )
