"""One launch, from its start to its end: the server, what is done to it, and what the witness says of it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..environment import CONTAINER_MASK, MASK, ORDER, PROBE_VARIABLE
from ..host import Ports, remove_tree
from ..inventory import RealMachine
from ..masks import resolve
from ..profile import Profile
from ..records import ActionResult, Event, LaunchRecord, ProcessRecord, Scenario, SelfReport
from ..server import (
    LaunchRequest,
    ProcessFacts,
    ServerProcess,
    says_ready,
    self_reports,
    served_or_not,
    wait_for_service,
    wait_for_workers,
    wait_until_it_says_ready,
    wait_until_ready,
)
from ..simulator import Machine, device_nodes
from ..witness import ProcessRef, Witness, optional
from .actions import ActionContext, perform

FAREWELL_DEADLINE = 3.0
"""Seconds between asking a server to stop and killing it, where no rule judges how it stops."""
TAIL = 4000
"""Characters kept of what a server wrote, from the end."""
EVENTS = 200
"""Events kept of a launch: a server that starts hundreds of processes would fill the report with them."""


@dataclass(frozen=True, slots=True)
class ExpectedWorkers:
    """What is waited for once every request has been answered: as many workers as groups, for ``settle`` seconds at
    most. ``touch``: workers of this server have touched devices before.
    """

    settle: float
    touch: bool = False

    def touch_in(self, scenario: Scenario, permitted: Sequence[object]) -> bool:
        """Whether workers are expected to touch devices: not on the CPU, and not where none is permitted."""
        on_the_cpu = any(option.name == "cpu" for option in scenario.options)
        return self.touch and bool(permitted) and not on_the_cpu


@dataclass
class LaunchSite:
    """Where a scenario's servers are launched, one after the other: a machine, ports, and the files that they keep."""

    scenario: Scenario
    profile: Profile
    machine: Machine | RealMachine
    ports: Ports
    directory: Path
    witness: Witness
    expected: ExpectedWorkers

    @classmethod
    def reserve(
        cls,
        scenario: Scenario,
        profile: Profile,
        machine: Machine | RealMachine,
        directory: Path,
        witness: Witness,
        expected: ExpectedWorkers,
        stack: contextlib.ExitStack,
    ) -> LaunchSite:
        """One with ports of its own, until ``stack`` is closed."""
        layouts = [(scenario.groups, scenario.devices), *([scenario.refused_first] if scenario.refused_first else [])]
        ports = Ports.reserve(max(profile.port_count(*layout) for layout in layouts))
        stack.callback(ports.release)
        site = cls(scenario, profile, machine, ports, directory, witness, expected)
        stack.callback(remove_tree, str(site.home))
        return site

    @property
    def home(self) -> Path:
        return self.directory / "home"

    def server(self) -> ServerProcess:
        server = ServerProcess(
            self.profile,
            directory=self.directory / "server",
            home=self.home,
            also_remove=[self.directory],
            touching=lambda seen: self.witness.touching(map(_ref, seen)),
        )
        server.timeline.on_event = optional(self.witness, "look")
        return server

    def start(self, server: ServerProcess, groups: int, devices: int) -> None:
        scenario = self.scenario
        server.start(
            LaunchRequest(
                groups=groups,
                devices=devices,
                environ=_environ(scenario, self.machine),
                layout=scenario.layout,
                options=scenario.options,
                ports=self.ports,
                wrapper=self.wrapper,
            )
        )

    def try_in_vain(self) -> tuple[str, int | None] | None:
        """Launch the server with what it should refuse, if the scenario has that, and say what became of it."""
        if self.scenario.refused_first is None:
            return None
        with self.server() as server:
            self.start(server, *self.scenario.refused_first)
            outcome = wait_until_ready(server)
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
    environ.pop(PROBE_VARIABLE, None)  # of the caller's: nothing that the server does would be written down
    given = {MASK: scenario.visible, ORDER: scenario.device_order}
    for name, value in {CONTAINER_MASK: None, **given, **dict(scenario.environ)}.items():
        environ.pop(name, None)
        if value is not None:
            environ[name] = value
    return environ


class ServerRun:
    """One server of a scenario, from its start to its end."""

    def __init__(self, site: LaunchSite, stack: contextlib.ExitStack) -> None:
        self.site = site
        self.scenario = site.scenario
        self.refusal = site.try_in_vain()
        self.server = stack.enter_context(site.server())
        inventory = site.machine.inventory
        self.permitted = resolve(self.scenario.visible, inventory, device_order=self.scenario.device_order).devices
        self.touch_expected = site.expected.touch_in(self.scenario, self.permitted)
        self.reports_ready = self.says_ready = False
        self.requests: dict[str, str] = {}
        self.victim: int | None = None
        self.self_reports: dict[str, SelfReport] = {}
        self.action_results: tuple[ActionResult, ...] = ()

    def begin(self) -> None:
        """Launch it, wait until it is ready, make one request to each worker, and hear what it says of itself."""
        self.site.start(self.server, self.scenario.groups, self.scenario.devices)
        if self.scenario.ends_in_setup:
            self.outcome = wait_for_workers(self.server)
        elif self.scenario.worker_dies_in_setup:
            self._kill_one_worker_early()
        else:
            self.outcome = wait_until_ready(self.server)
            if self.outcome.kind == "ready":
                self._see_that_it_serves()
        self.began = time.time() - self.server.timeline.seconds
        if self.outcome.kind == "ready":
            self.says_ready = wait_until_it_says_ready(self.server)
            self.self_reports = self_reports.read_when_it_answers(self.server)
        self.settled = time.time()

    def _see_that_it_serves(self) -> None:
        """A sign of readiness is the server's own word; an answer is not."""
        server, expected = self.server, self.site.expected
        left = server.profile.server.ready_deadline - self.outcome.seconds
        service = wait_for_service(server, deadline=left, settle=expected.settle, touch=self.touch_expected)
        self.requests = service.requests
        self.outcome = served_or_not(server, service)

    def _kill_one_worker_early(self) -> None:
        """Kill the last worker as soon as it exists, and see whether the server admits it, or replaces it."""
        server, group = self.server, self.scenario.groups - 1
        victim = server.wait_for_worker(group)
        if victim is not None:
            self.victim = victim.pid
            server.kill(victim.pid, signal.SIGKILL)
        deadline = server.profile.server.reaction_deadline
        self.outcome = wait_until_ready(server, deadline)
        if self.outcome.kind == "ready" and not server.wait_for(lambda: self._is_replaced(group), deadline):
            self.reports_ready = server.exit_code is None and says_ready(server)
        elif self.outcome.kind == "timeout":
            self.reports_ready = says_ready(server)

    def _is_replaced(self, group: int) -> bool:
        self.server.observe()
        worker = self.server.worker(group)
        return worker is not None and worker.alive and worker.pid != self.victim

    def act(self, context: ActionContext) -> None:
        """Do to it what the scenario says, if it is ready."""
        if self.outcome.kind == "ready":
            self.action_results = tuple(perform(action, context) for action in self.scenario.actions)

    def end(self, accounts: Accounts) -> LaunchRecord:
        """End it, and tell what was seen of it."""
        scenario, server, permitted = self.scenario, self.server, self.permitted
        processes = accounts.records(server)
        farewell = time.monotonic()
        survivors = _end(scenario, server)
        server.observe()
        waits = server.profile.supports.waiting and scenario.asked > len(permitted)
        return LaunchRecord(
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
            self_reports=self.self_reports,
            refusal=self.refusal,
            remarks=self.site.remarks,
            stdout=server.stdout[-TAIL:],
            stderr=server.stderr[-TAIL:],
            events=_shortened(server.timeline.whole(server.seen)),
            action_results=self.action_results,
            settled=self.settled,
            touch_expected=self.touch_expected,
            unplaced=tuple(f"process {pid}: {captured}" for pid, captured in self.server.unplaced.items()),
            victim=self.victim,
        )


def _shortened(events: list[Event]) -> tuple[Event, ...]:
    """At most EVENTS of them: lives of processes that are neither launcher, worker nor balancer go first."""
    if len(events) > EVENTS:
        events = [event for event in events if not (event.kind == "process" and event.text.startswith("other"))]
    return tuple(events[:EVENTS])


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
        processes = [_ref(facts) for known in self._seen.values() for facts in known]
        self._accounts = witness.accounts(processes)
        self._unknown = witness.unknown_processes(processes)

    def records(self, server: ServerProcess) -> tuple[ProcessRecord, ...]:
        """Of the processes of one server, and of those that were gone before they were seen: a child belongs where its
        parent does, one whose parent nobody knows to every server.
        """
        known = [
            ProcessRecord(
                *(facts.pid, facts.ppid, facts.role, facts.group, tuple(facts.argv)),
                account=self._accounts[facts.pid],
                told_by=facts.told_by,
            )
            for facts in self._seen[server]
        ]
        parents = {facts.pid: facts.group for facts in self._seen[server]}
        others = {facts.pid for seen in self._seen.values() for facts in seen} - set(parents)
        unknown = [
            ProcessRecord(pid, account.ppid, "other", parents.get(account.ppid), (), account)
            for pid, account in self._unknown.items()
            if account.ppid not in others
        ]
        return tuple(known + unknown)


def _ref(facts: ProcessFacts) -> ProcessRef:
    return ProcessRef(facts.pid, facts.start_time, facts.environ)
