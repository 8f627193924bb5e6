"""One launch, from its start to its end: the server, what is done to it, and what the witness says of it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..environment import CONTAINER_MASK, MASK, ORDER
from ..host.cleanup import Ports
from ..host.procfs import ProcessFacts
from ..host.supervisor import remove_tree
from ..inventory.real import RealMachine
from ..masks.resolver import resolve
from ..profile.files import Profile
from ..records import Fleet, ProcessRecord, Scenario
from ..server import self_reports
from ..server.process import Event, Outcome, ServerProcess
from ..server.self_reports import Statement
from ..simulator import device_nodes
from ..simulator.machine import Machine
from ..witness.base import Account, Suspect, Witness, optional
from .actions import Deed, Scene, perform

FAREWELL_DEADLINE = 3.0
"""Seconds between asking a server to stop and killing it, where no rule judges how it stops."""
TAIL = 4000
"""Characters kept of what a server wrote, from the end."""
EVENTS = 200
"""Events kept of a launch: a server that starts hundreds of processes would fill the report with them."""


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
        server.on_event = optional(self.witness, "look")
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
    given = {MASK: scenario.visible, ORDER: scenario.device_order}
    for name, value in {CONTAINER_MASK: None, **given, **dict(scenario.environ)}.items():
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
            self.statements = self_reports.read_when_it_answers(self.server)
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
            environ=server.profile_environ,
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
