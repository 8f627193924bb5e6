"""Launch one server and know everything about its processes; leave nothing of it behind, whatever happens."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..host import Deadline, Ports, RunRecord, SupervisorClient, SupervisorError, kill_marked, procfs
from ..profile import Option, Profile, Request, fill, find_program
from .files import ServerFiles
from .requests import Call, Reply, worker_call
from .roles import PORT_POLL, ProcessFacts, Roles, Touching
from .timeline import Timeline, title

POLL = 0.05
"""Seconds between two looks at the processes."""
FAST_POLL = 0.03
"""The same while waiting for a process to appear."""
URL_DEADLINE = 5.0
"""Seconds that a url of the profile's reports may take to answer."""
_ANYTHING = re.compile("")


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What to launch: ``groups`` groups of ``devices`` devices.

    ``environ`` is the server's environment, less what pytest, coverage and the harness' PYTHONPATH put there, plus
    the profile's, with HOME, TMPDIR and XDG_CACHE_HOME in a directory of its own. ``layout``, ``options``: see
    :meth:`Profile.command_line`. ``ports``: reserved by the caller, who also releases them; by default they are chosen
    at the launch. ``wrapper``: a program and its arguments that becomes the server by exec.
    """

    groups: int
    devices: int
    environ: Mapping[str, str]
    layout: str | None = None
    options: Sequence[Option] = ()
    ports: Ports | None = None
    wrapper: Sequence[str] = ()


class ServerProcess:
    """A server under test, from :meth:`start` to :meth:`close`; a context manager.

    ``directory`` is for the server's files: its own ones go at the end, and the directory with them if it was
    made here. ``home`` holds what the server writes for itself (HOME, TMPDIR, its working directory), for a caller who
    starts it again with that; by default it goes with the rest. ``also_remove`` are directories to be removed should
    this process die before it closes the server.

    ``touching``: which of these processes have touched a device so far, as pids. A profile that tells workers by
    what they touched needs it.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        directory: Path | None = None,
        home: Path | None = None,
        also_remove: Sequence[Path] = (),
        touching: Touching | None = None,
    ) -> None:
        if profile.workers.worker.touched and touching is None:
            raise ValueError(f"{profile.path} tells workers by what they touched, and nobody here can say that")
        self.profile = profile
        self.directory = directory
        self.home = home
        self.also_remove = tuple(also_remove)
        self.timeline = Timeline()
        self.command: list[str] = []
        self.groups = 0
        self.devices = 0
        self.port = 0
        self.pid = 0
        self.environ: Mapping[str, str] = {}
        self.values: Mapping[str, str] = {}
        """What the placeholders of the profile stand for in this launch."""
        self._touching = touching
        self._stack = contextlib.ExitStack()
        self._when_ended: list[Callable[[], object]] = []
        self._supervisor: SupervisorClient | None = None
        self._roles: Roles | None = None
        self._files: ServerFiles | None = None

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, request: LaunchRequest) -> None:
        """Launch the server.

        :raises UserError: the program is not installed.
        :raises SupervisorError: it could not be started all the same.
        """
        if self._supervisor is not None:
            raise RuntimeError("this server was started before; make a new ServerProcess")
        try:
            self._start(request)
        except BaseException:
            self.close()
            raise

    def _start(self, request: LaunchRequest) -> None:
        self.groups, self.devices = request.groups, request.devices
        ports = request.ports
        if ports is None:
            ports = Ports.reserve(self.profile.port_count(self.groups, self.devices))
            self._stack.callback(ports.release)
        self.port = ports.first
        self.values = self.profile.values(groups=self.groups, devices=self.devices, port=self.port)
        self.command = self.profile.command_line(self.groups, self.devices, self.port, request.layout, request.options)
        executable = find_program(self.command[0], request.environ, self.profile)
        files = self._files = ServerFiles(self.directory, self.home, self._stack)
        made = [*files.made, *self.also_remove]
        run = RunRecord(made)
        self._stack.callback(run.close)
        self._stack.callback(files.remove)
        self._stack.callback(files.keep_output)
        self._stack.callback(self._call_when_ended)
        self.environ = files.environ(request.environ, self.profile_environ, run.id)
        supervisor = self._supervisor = SupervisorClient(made, [run.lock.descriptor, *ports.locks])
        self._stack.callback(_end, supervisor, run.id)
        self.timeline.begin()
        # The full path as argv[0] too: Python finds its environment by it.
        words = [*request.wrapper, executable, *self.command[1:]]
        self.pid, start_time = supervisor.launch(words[0], words, self.environ, files.work, files.stdout, files.stderr)
        self._roles = Roles(self.profile, self.pid, self.groups, self.port, self._touching)
        self._roles.note(procfs.Stat(self.pid, supervisor.pid, "R", start_time, ()))
        self.timeline.launched(self.pid)

    def close(self) -> None:
        """Kill every process, remove every file, free every port. Harmless when repeated.

        :raises SupervisorError: something could not be killed.
        """
        self._stack.close()

    def when_ended(self, callback: Callable[[], object]) -> None:
        """Call it in :meth:`close`, when no process is left."""
        self._when_ended.append(callback)

    def _call_when_ended(self) -> None:
        while self._when_ended:
            self._when_ended.pop()()

    @property
    def profile_environ(self) -> dict[str, str]:
        """What the profile adds to its environment, filled in."""
        return {name: fill(value, self.values) for name, value in self.profile.server.env.items()}

    # What there is.

    @property
    def seen(self) -> dict[int, ProcessFacts]:
        """Every process that ever belonged to it, by pid: see :class:`Roles`."""
        return self._roles.seen if self._roles is not None else {}

    @property
    def _known(self) -> Roles:
        if self._roles is None:
            raise RuntimeError("the server was not started")
        return self._roles

    def worker(self, group: int) -> ProcessFacts | None:
        """The living worker of a group, else the last one."""
        return self._known.worker(group)

    def touching_now(self) -> set[int]:
        """Its processes that have touched a device so far, as pids."""
        return self._known.touching_now()

    def has_touched(self, group: int) -> bool:
        """Whether a process of the group has touched a device."""
        touching = self.touching_now()
        return any(self.seen[pid].group == group for pid in touching if pid in self.seen)

    @property
    def unplaced(self) -> Mapping[int, str]:
        """See :class:`Roles`."""
        return self._known.unplaced

    @property
    def worker_ports(self) -> list[int]:
        """One a group: where its worker listens."""
        return [self.profile.worker_port(group, self.port) for group in range(self.groups)]

    @property
    def ports(self) -> range:
        """All that it was given."""
        return range(self.port, self.port + self.profile.port_count(self.groups, self.devices))

    @property
    def stdout(self) -> str:
        """What the server's processes wrote so far, the last 256 KiB."""
        return self._files.text(self._files.stdout) if self._files is not None else ""

    @property
    def stderr(self) -> str:
        """The same for standard error."""
        return self._files.text(self._files.stderr) if self._files is not None else ""

    @property
    def exit_code(self) -> int | None:
        """The launcher's, negative for a signal; None while it runs."""
        exits = self._supervisor.exits if self._supervisor is not None else {}
        return exits[self.pid][0] if self.pid in exits else None

    def observe(self) -> list[ProcessFacts]:
        """Look at the processes now: bring ``seen`` up to date, and return those that live.

        :raises SupervisorError: the supervisor is gone, so nobody can tell.
        """
        return self._look(procfs.family)

    def settle_roles(self) -> None:
        """Look once more, now that it is ready: who listens where, and whether the launcher itself is the worker."""
        self._known.look_at_ports_next()
        self.observe()
        self._known.launcher_may_work()

    def _look(self, members: Callable[[int], list[int]]) -> list[ProcessFacts]:
        supervisor = self.pump(0)
        stats = [found for pid in members(supervisor.pid) if (found := procfs.stat(pid)) is not None and found.alive]
        return self._known.take(stats, supervisor.exits)

    def pump(self, timeout: float) -> SupervisorClient:
        """Wait at most ``timeout`` seconds for something to happen to a process.

        :raises SupervisorError: the supervisor is gone.
        """
        if self._supervisor is None:
            raise RuntimeError("the server was not started")
        if not self._supervisor.pump(timeout):
            raise SupervisorError(f"the supervisor of the server's processes (pid {self._supervisor.pid}) is gone")
        return self._supervisor

    # Waiting for its processes; for the server to be ready: see `readiness`.

    def deadline(self, seconds: float) -> Deadline:
        """One that does not count the time in which its processes waited for a CPU."""
        return Deadline(seconds, self._delays)

    def _delays(self) -> dict[int, float]:
        return {pid: procfs.run_delay(pid) for pid, facts in self.seen.items() if facts.alive}

    def wait_for_worker(self, group: int, deadline: float | None = None) -> ProcessFacts | None:
        """The worker of a group as soon as it appears; None when the launcher ends first, or after
        ``deadline`` seconds.
        """
        limit = self.deadline(self.profile.server.ready_deadline if deadline is None else deadline)
        while True:
            self.observe()
            worker = self.worker(group)
            left = limit.left()
            if worker is not None or self.exit_code is not None or left <= 0:
                return worker
            self.pump(min(FAST_POLL, left))

    def wait_for_end(self, pid: int, deadline: float) -> bool:
        """Wait until a process of ``seen`` is gone; False when it still lives after ``deadline`` seconds."""
        limit = self.deadline(deadline)
        while procfs.is_alive(pid, self.seen[pid].start_time):
            left = limit.left()
            if left <= 0:
                return False
            self.pump(min(POLL, left))
        self.observe()
        return True

    def wait_exit(self, deadline: float | None = None) -> int | None:
        """The launcher's exit code, negative for a signal; None when it still runs after ``deadline``
        seconds.

        By default the profile's ``stop_deadline``.
        """
        limit = self.deadline(self.profile.server.stop_deadline if deadline is None else deadline)
        self.pump(0)
        while self.exit_code is None and (left := limit.left()) > 0:
            self.pump(left)
        return self.exit_code

    def wait_all_gone(self, deadline: float | None = None) -> list[ProcessFacts]:
        """Wait until no process of the server lives; after ``deadline`` seconds, those that do, with the
        ports they hold.

        By default the profile's ``stop_deadline``.
        """
        limit = self.deadline(self.profile.server.stop_deadline if deadline is None else deadline)
        while self.observe() or self._look(procfs.everyone_below):
            left = limit.left()
            if left <= 0:
                survivors = self._with_ports(self._look(procfs.everyone_below))
                self.timeline.tell("end", f"{len(survivors)} processes are left; waited no longer")
                return survivors
            self.pump(min(POLL, left))
        self.timeline.tell("end", "no process is left")
        return []

    def _with_ports(self, survivors: list[ProcessFacts]) -> list[ProcessFacts]:
        owners = self._known.listeners(self.ports)
        for facts in survivors:
            held = tuple(port for port, pids in owners.items() if facts.pid in pids)
            self.seen[facts.pid] = dataclasses.replace(facts, ports=held)
        return [self.seen[facts.pid] for facts in survivors]

    def wait_for(self, condition: Callable[[], bool], deadline: float) -> bool:
        """Whether ``condition`` comes true within ``deadline`` seconds and before the launcher has ended."""
        limit = self.deadline(deadline)
        while not condition():
            left = limit.left()
            if left <= 0 or self.exit_code is not None:
                return False
            self.pump(min(PORT_POLL, left))
        return True

    # Acting.

    def request(self, group: int) -> Reply:
        """Ask the worker of a group what the profile's request says, once.

        :raises UserError: the profile has no request.
        """
        reply = worker_call(self.profile, group, self.values, self.port, self.environ)()
        self.timeline.tell("request", f"asked group {group}: {'answered' if reply.ok else reply.error}")
        return reply

    def ask(self, request: Request, group: int) -> Reply:
        """Make another of the profile's requests to the worker of a group, once."""
        reply = worker_call(self.profile, group, self.values, self.port, self.environ, request)()
        self.timeline.tell("request", f"asked group {group} something else: {'answered' if reply.ok else reply.error}")
        return reply

    def get(self, url: str, group: int | None = None) -> Reply:
        """What a url of the profile answers; ``group`` is the one that ``{worker_port}`` and ``{group}`` mean."""
        values = self.values
        if group is not None:
            values = {**values, "group": str(group), "worker_port": str(self.worker_ports[group])}
        return Call("http", _ANYTHING, URL_DEADLINE, fill(url, values))()

    def signal_launcher(self, number: signal.Signals) -> bool:
        """Send a signal to the launcher alone; False when it is gone."""
        return self.kill(self.pid, number)

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
        """Send a signal to one process of ``seen``; False when it is gone, whoever has its pid by now."""
        self.timeline.tell("signal", f"{signal.Signals(number).name} to {title(self.seen[pid])}")
        return procfs.send_signal(pid, self.seen[pid].start_time, number)

    def signal_group(self, number: signal.Signals) -> bool:
        """Send a signal to the launcher's process group, as a terminal does at Ctrl-C; False when none is
        left in it.
        """
        if not any(procfs.group(facts.pid) == self.pid for facts in self.observe()):
            return False
        self.timeline.tell("signal", f"{number.name} to the launcher's process group, as at Ctrl-C")
        os.killpg(self.pid, number)
        return True


def _end(supervisor: SupervisorClient, run: str) -> None:
    """Leave no process, also when the supervisor was killed or does not answer."""
    killed = False
    try:
        killed = supervisor.close()
    finally:
        if not killed:
            kill_marked([run])
