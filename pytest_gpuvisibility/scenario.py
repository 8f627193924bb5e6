"""One launch of the server under test, observed to its end, and judged by any number of rules.

A :class:`Scenario` says what to launch and what to do to it; a :class:`Fleet` is what was seen, as plain data.
Scenarios are launched once a session: the first test that asks launches, the others read its record, in whichever
pytest-xdist worker they run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import device_nodes, statements
from . import profile as profiles
from .acts import Act, Deed, Scene, perform
from .hardware import NvmlWitness, RealMachine
from .inventory import Inventory
from .processes import ProcessFacts
from .profile import Option, Profile
from .registry import Ports
from .resolver import resolve
from .server import Event, Outcome, ServerProcess
from .simulator.machine import Machine
from .statements import Statement
from .supervisor import remove_tree
from .witness import Account, Evidence, LedgerWitness, Suspect, Witness

FAREWELL_DEADLINE = 3.0
"""Seconds between asking a server to stop and killing it, where no rule judges how it stops."""
TAIL = 4000
"""Characters kept of what a server wrote, from the end."""
EVENTS = 200
"""Events kept of a launch: a server that starts hundreds of processes would fill the report with them."""


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


class Theatre:
    """Plays scenarios, each once, for one server and one session.

    ``room`` is a directory that all pytest-xdist workers of the session share.
    """

    def __init__(
        self,
        profile: Profile,
        room: Path,
        witness: Callable[[Machine], Witness] = LedgerWitness,
        find: Callable[[str], Inventory] = Inventory.load,
        hardware: Inventory | None = None,
    ) -> None:
        """``hardware``: this machine's own GPUs, for scenarios on the inventory ``real``."""
        self.scratch = room / "scratch"
        self.profile = profile.with_scratch(self.scratch)
        self.room = room
        self.witness = witness
        self.find = find
        self.hardware = hardware

    def prepare(self) -> None:
        """Run the profile's ``prepare`` if no process of the session has, before the first launch.

        :raises UserError: it fails; the next launch tries again.
        """
        command, done = self.profile.server.prepare, self.room / "prepared"
        with _alone(done.with_suffix(".lock")):
            if command and not done.exists():
                self.scratch.mkdir(exist_ok=True)
                profiles.run(self.profile, command, "[server].prepare", profiles.PREPARE_LIMIT)
                done.touch()

    def play(self, scenario: Scenario) -> Fleet:
        """The fleet of ``scenario``, launched now or earlier in the session, here or in another process."""
        self.prepare()
        record = self.room / f"{scenario.key}.json"
        with _alone(record.with_suffix(".lock")):
            if not record.exists():
                _write_whole(record, self._play(scenario))
            return Fleet.from_dict(json.loads(record.read_text()))

    def _play(self, scenario: Scenario) -> Fleet:
        directory = self.room / scenario.key
        if self.hardware is None:
            return play(scenario, self.profile, directory, self.witness, self.find)
        with _alone(self.room / "hardware.lock"):  # all launches share the memory of the same devices
            return play(scenario, self.profile, directory, hardware=self.hardware)

    def fleets(self) -> dict[str, Fleet]:
        """All fleets so far, by their scenario's key."""
        return {path.stem: Fleet.from_dict(json.loads(path.read_text())) for path in sorted(self.room.glob("*.json"))}


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While no other process of the session does the same."""
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_whole(path: Path, fleet: Fleet) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(fleet.as_dict()))
    os.replace(draft, path)


def play(
    scenario: Scenario,
    profile: Profile,
    directory: Path,
    witness: Callable[[Machine], Witness] = LedgerWitness,
    find: Callable[[str], Inventory] = Inventory.load,
    hardware: Inventory | None = None,
) -> Fleet:
    """Launch the server, watch it, end it, and leave nothing behind.

    ``hardware``: this machine's own GPUs, to launch it on these instead of a simulated machine.
    """
    directory.mkdir()
    with contextlib.ExitStack() as stack:
        machine: Machine | RealMachine
        seer: Witness
        if hardware is not None:
            machine, seer = RealMachine(hardware), stack.enter_context(NvmlWitness(hardware))
        else:
            machine = stack.enter_context(_simulated(scenario, profile, directory / "machine", find))
            seer = witness(machine)
        first = Performance(Stage.reserve(scenario, profile, machine, directory, seer, stack), stack)
        first.begin()
        others: list[Performance] = []

        def start_beside(visible: str) -> str:
            second = dataclasses.replace(scenario, visible=visible, acts=(), ending="stop")
            stage = Stage.reserve(second, profile, machine, directory / "beside", seer, stack)
            others.append(Performance(stage, stack))
            others[-1].begin()
            kind = others[-1].outcome.kind
            return "" if kind == "ready" else f"the second server: {kind}"

        first.act(Scene(first.server, start_beside))
        accounts = Accounts(seer, [one.server for one in (first, *others)])
        beside = tuple(other.end(accounts) for other in others)
        return dataclasses.replace(first.end(accounts), beside=beside, skipped_launches=machine.launches()[0])


def _simulated(scenario: Scenario, profile: Profile, directory: Path, find: Callable[[str], Inventory]) -> Machine:
    inventory = find(scenario.inventory)
    inventory = dataclasses.replace(inventory, faults=inventory.faults | set(scenario.faults))
    return Machine.create(inventory, directory, launch=profile.server.launch, questions=True)


@dataclass
class Stage:
    """Where a scenario's servers are launched, one after the other: a machine, ports, and the files that they keep."""

    scenario: Scenario
    profile: Profile
    machine: Machine | RealMachine
    ports: Ports
    directory: Path
    witness: Witness

    @classmethod
    def reserve(
        cls,
        scenario: Scenario,
        profile: Profile,
        machine: Machine | RealMachine,
        directory: Path,
        witness: Witness,
        stack: contextlib.ExitStack,
    ) -> Stage:
        """One with ports of its own, until ``stack`` is closed."""
        ports = Ports.reserve(profile.port_count(scenario.groups, max(scenario.devices, scenario.refused_first)))
        stack.callback(ports.release)
        stage = cls(scenario, profile, machine, ports, directory, witness)
        stack.callback(remove_tree, str(stage.home))
        return stage

    @property
    def home(self) -> Path:
        return self.directory / "home"

    def server(self) -> ServerProcess:
        directory = self.directory / "server"
        server = ServerProcess(
            self.profile,
            directory=directory,
            home=self.home,
            also_remove=[self.directory],
            touchers=lambda seen: self.witness.touchers(map(_suspect, seen)),
        )
        if isinstance(self.witness, NvmlWitness):
            server.on_event = self.witness.look
        return server

    def start(self, server: ServerProcess, devices: int) -> None:
        scenario = self.scenario
        server.start(
            groups=scenario.groups,
            devices=devices,
            environ=_environ(scenario, self.machine),
            layout=scenario.layout,
            options=scenario.options,
            ports=self.ports,
            wrapper=self.wrapper,
        )

    def try_in_vain(self) -> tuple[str, int | None]:
        """Launch the server with what it should refuse, and say what became of it."""
        with self.server() as server:
            self.start(server, self.scenario.refused_first)
            outcome = server.wait_until_ready()
            return outcome.kind, outcome.exit_code

    @property
    def wrapper(self) -> list[str]:
        if not self.scenario.device_nodes or device_nodes.why_not():
            return []
        return device_nodes.wrapper(device.minor for device in self.machine.inventory.devices)

    @property
    def remarks(self) -> tuple[str, ...]:
        why_not = device_nodes.why_not() if self.scenario.device_nodes else ""
        return (f"without device nodes of its own in /dev: {why_not}",) if why_not else ()


def _environ(scenario: Scenario, machine: Machine | RealMachine) -> dict[str, str]:
    environ = machine.environ(os.environ, nvidia_smi=scenario.nvidia_smi)
    given = {"CUDA_VISIBLE_DEVICES": scenario.visible, "CUDA_DEVICE_ORDER": scenario.device_order}
    for name, value in {"NVIDIA_VISIBLE_DEVICES": None, **given, **dict(scenario.environ)}.items():
        environ.pop(name, None)
        if value is not None:
            environ[name] = value
    return environ


class Performance:
    """One server of a scenario, from its start to its end."""

    def __init__(self, stage: Stage, stack: contextlib.ExitStack) -> None:
        self.stage = stage
        self.scenario = stage.scenario
        self.refusal = stage.try_in_vain() if stage.scenario.refused_first else None
        self.server = stack.enter_context(stage.server())
        self.reports_ready = self.says_ready = False
        self.requests: dict[str, str] = {}
        self.statements: dict[str, Statement] = {}
        self.deeds: tuple[Deed, ...] = ()

    def begin(self) -> None:
        """Launch it, wait until it is ready, make one request to each worker, and hear what it says of itself."""
        self.stage.start(self.server, self.scenario.devices)
        if self.scenario.ends_in_setup:
            self.outcome = self.server.wait_for_workers()
        elif self.scenario.worker_dies_in_setup:
            self.outcome, self.reports_ready = _kill_one_worker_early(self.server)
        else:
            self.outcome = self.server.wait_until_ready()
        self.began = time.time() - self.outcome.seconds
        if self.outcome.kind == "ready":
            asks = self.server.profile.server.request is not None
            for group in range(self.scenario.groups if asks else 0):
                reply = self.server.request(group)
                self.requests[str(group)] = "answered" if reply.ok else reply.error
            self.says_ready = self.server.wait_until_it_says_ready()
            self.statements = statements.read_when_it_answers(self.server)
        self.settled = time.time()

    def act(self, scene: Scene) -> None:
        """Do to it what the scenario says, if it is ready."""
        if self.outcome.kind == "ready":
            self.deeds = tuple(perform(act, scene) for act in self.scenario.acts)

    def end(self, accounts: Accounts) -> Fleet:
        """End it, and tell what was seen of it."""
        scenario, server, inventory = self.scenario, self.server, self.stage.machine.inventory
        permitted = resolve(scenario.visible, inventory, device_order=scenario.device_order).devices
        processes = accounts.records(server)
        farewell = time.monotonic()
        survivors = _end(scenario, server)
        server.observe()
        waits = server.profile.supports.waiting and scenario.asked > len(permitted)
        return Fleet(
            scenario=scenario,
            command=tuple(server.command),
            permitted=tuple(device.uuid for device in permitted),
            began=self.began,
            outcome="waiting" if waits and self.outcome.kind == "timeout" else self.outcome.kind,
            seconds=self.outcome.seconds,
            exit_code=self.outcome.exit_code,
            processes=processes,
            requests=self.requests,
            final_exit_code=server.wait_exit(0),
            farewell_seconds=time.monotonic() - farewell,
            survivors=survivors,
            reports_ready=self.reports_ready,
            revived=scenario.ending == "kill-workers" and _has_workers_beside(server, set()),
            says_ready=self.says_ready,
            statements=self.statements,
            refusal=self.refusal,
            remarks=self.stage.remarks,
            stdout=server.stdout[-TAIL:],
            stderr=server.stderr[-TAIL:],
            events=_shortened(server.timeline()),
            deeds=self.deeds,
            settled=self.settled,
        )


def _shortened(events: list[Event]) -> tuple[Event, ...]:
    """At most EVENTS of them: lives of processes that are neither launcher, worker nor balancer go first."""
    if len(events) > EVENTS:
        events = [event for event in events if not (event.kind == "process" and event.text.startswith("other"))]
    return tuple(events[:EVENTS])


def _kill_one_worker_early(server: ServerProcess) -> tuple[Outcome, bool]:
    """Kill the last worker as soon as it exists, and see whether the server admits it."""
    victim = server.wait_for_worker(server.groups - 1)
    if victim is not None:
        server.kill(victim.pid, signal.SIGKILL)
    outcome = server.wait_until_ready(server.profile.server.reaction_deadline)
    return outcome, outcome.kind == "timeout" and server.says_ready()


def _end(scenario: Scenario, server: ServerProcess) -> tuple[str, ...]:
    """Do to the server what the scenario says; describe what is left when its deadline has passed."""
    profile = server.profile.server
    if scenario.ending == "kill-workers":
        victims = {facts.pid for facts in server.observe() if facts.role == "worker"}
        for pid in victims:
            server.kill(pid, signal.SIGKILL)
        server.wait_for(lambda: _has_workers_beside(server, victims), profile.stop_deadline)
        return ()
    if scenario.ending == "stop":
        server.signal_launcher(signal.Signals[profile.stop])
        return _describe(server.wait_all_gone(FAREWELL_DEADLINE))
    server.signal_launcher(signal.Signals[scenario.ending])
    return _describe(server.wait_all_gone(profile.stop_deadline))


def _has_workers_beside(server: ServerProcess, dead: set[int]) -> bool:
    """Whether every group has a living worker that is none of these."""
    server.observe()
    workers = [server.worker(group) for group in range(server.groups)]
    return all(worker is not None and worker.alive and worker.pid not in dead for worker in workers)


def _describe(survivors: Iterable[ProcessFacts]) -> tuple[str, ...]:
    return tuple(f"{survivor.role} {survivor.pid}: {' '.join(survivor.argv)}" for survivor in survivors)


class Accounts:
    """What a witness says of the processes of all the servers on one machine, before any of them is ended."""

    def __init__(self, witness: Witness, servers: Iterable[ServerProcess]) -> None:
        self._seen: dict[ServerProcess, list[ProcessFacts]] = {}
        for server in servers:
            server.observe()
            self._seen[server] = list(server.seen.values())
        suspects = [_suspect(facts) for known in self._seen.values() for facts in known]
        self._accounts = witness.accounts(suspects)
        self._strangers = witness.strangers(suspects)

    def records(self, server: ServerProcess) -> tuple[ProcessRecord, ...]:
        """Of the processes of one server, and of those that were gone before they were seen: a child belongs where its
        parent does, one whose parent nobody knows to every server.
        """
        known = [
            _record(self._accounts[facts.pid], facts.pid, facts.ppid, facts.role, facts.group, tuple(facts.argv))
            for facts in self._seen[server]
        ]
        parents = {facts.pid: facts.group for facts in self._seen[server]}
        others = {facts.pid for seen in self._seen.values() for facts in seen} - set(parents)
        strangers = [
            _record(account, pid, account.ppid, "other", parents.get(account.ppid), ())
            for pid, account in self._strangers.items()
            if account.ppid not in others
        ]
        return tuple(known + strangers)


def _suspect(facts: ProcessFacts) -> Suspect:
    return Suspect(facts.pid, facts.start_time, facts.environ)


def _record(
    account: Account, pid: int, ppid: int, role: str, group: int | None, argv: tuple[str, ...]
) -> ProcessRecord:
    return ProcessRecord(
        pid=pid,
        ppid=ppid,
        role=role,
        group=group,
        argv=argv,
        evidence=account.evidence,
        touched=account.touched,
        shown=account.shown,
        visible=account.visible,
        device_order=account.device_order,
        asked=account.asked,
        touched_at=account.touched_at,
        peers=account.peers,
        remasked=account.remasked,
    )
