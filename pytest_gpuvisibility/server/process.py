"""Launch one server and know everything about its processes; leave nothing of it behind, whatever happens."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import site
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..environment import RUN_VARIABLE
from ..host import procfs
from ..host.cleanup import Ports, Run, kill_marked
from ..host.deadline import Patience
from ..host.procfs import ProcessFacts
from ..host.supervisor import remove_tree
from ..host.supervisor_client import Guard, GuardError
from ..profile.files import HARNESS_VARIABLES, Option, Profile, Request, amount, fill, find_program
from . import requests
from .requests import Call, Knocker, Reply, worker_call
from .roles import PORT_POLL, Census, Touchers

__all__ = ["Event", "GuardError", "Outcome", "ProcessFacts", "Reply", "ServerProcess"]

POLL = 0.05
"""Seconds between two looks at the processes."""
FAST_POLL = 0.03
"""The same while waiting for a process to appear."""
URL_DEADLINE = 5.0
"""Seconds that a url of the profile's reports may take to answer."""
_ANYTHING = re.compile("")
ROOT_OF_SOCKETS = Path("/tmp")
"""Where the servers' TMPDIR is made, if it can be. The path of a UNIX socket may be no longer than 107 bytes."""
TAIL = 1 << 18
"""Bytes of a server's output that are read, from the end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How waiting for a server ended.

    ``kind``: ``ready`` (as the profile's ``ready`` says), ``exited`` (the launcher ended first), ``timeout``, or
    ``loading`` where that was waited for. ``seconds`` count from the launch. ``exit_code`` is the launcher's,
    negative for a signal; None while it runs.
    """

    kind: str
    seconds: float
    exit_code: int | None


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


class ServerProcess:
    """A server under test, from :meth:`start` to :meth:`close`; a context manager.

    ``directory`` is for the server's files: its own ones go at the end, and the directory with them if it was
    made here. ``home`` holds what the server writes for itself (HOME, TMPDIR, its working directory), for a caller who
    starts it again with that; by default it goes with the rest. ``also_remove`` are directories to be removed should
    this process die before it closes the server.

    ``touchers``: which of these processes have touched a device so far, as pids. A profile that tells workers by
    what they touched needs it.

    ``events`` are what was done to it and what came of that, in order; :meth:`timeline` has the processes too.
    ``on_event`` is called at each of them, before a signal is sent.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        directory: Path | None = None,
        home: Path | None = None,
        also_remove: Sequence[Path] = (),
        touchers: Touchers | None = None,
    ) -> None:
        if profile.workers.worker.touched and touchers is None:
            raise ValueError(f"{profile.path} tells workers by what they touched, and nobody here can say that")
        self.profile = profile
        self._touchers = touchers
        self.directory = directory
        self.home = home
        self.also_remove = tuple(also_remove)
        self.command: list[str] = []
        self.groups = 0
        self.devices = 0
        self.port = 0
        self.pid = 0
        self.events: list[Event] = []
        self.on_event: Callable[[], object] = lambda: None
        self.startup_seconds: float | None = None
        self._knockers: list[Knocker] = []
        self._stack = contextlib.ExitStack()
        self._guard: Guard | None = None
        self._launched = 0.0
        self._census: Census | None = None
        self._environ: dict[str, str] = {}
        self._values: dict[str, str] = {}
        self._output: dict[str, Path | str] = {"stdout": "", "stderr": ""}

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(
        self,
        *,
        groups: int,
        devices: int,
        environ: Mapping[str, str],
        layout: str | None = None,
        options: Sequence[Option] = (),
        ports: Ports | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        """Launch the server with ``groups`` groups of ``devices`` devices.

        ``environ`` is its environment, less what pytest, coverage and the harness' PYTHONPATH put there, plus
        the profile's, with HOME, TMPDIR and XDG_CACHE_HOME in a directory of its own. ``layout``, ``options``:
        see :meth:`Profile.command_line`. ``ports``: reserved by the caller, who also releases them; by default
        they are chosen here. ``wrapper``: a program and its arguments that becomes the server by exec.

        :raises UserError: the program is not installed.
        :raises GuardError: it could not be started all the same.
        """
        if self._guard is not None:
            raise RuntimeError("this server was started before; make a new ServerProcess")
        try:
            self._start(groups, devices, environ, layout, options, ports, wrapper)
        except BaseException:
            self.close()
            raise

    def _start(
        self,
        groups: int,
        devices: int,
        environ: Mapping[str, str],
        layout: str | None,
        options: Sequence[Option],
        ports: Ports | None,
        wrapper: Sequence[str],
    ) -> None:
        self.groups, self.devices = groups, devices
        if ports is None:
            ports = Ports.reserve(self.profile.port_count(groups, devices))
            self._stack.callback(ports.release)
        self.port = ports.first
        self._values = self.profile.values(groups=groups, devices=devices, port=self.port)
        self.command = self.profile.command_line(groups, devices, self.port, layout, options)
        executable = find_program(self.command[0], environ, self.profile)
        home, short = self._make_directory(), _make_short_directory()
        (short / "t").symlink_to((self.home or home) / "tmp")
        made = [home, short, *self.also_remove]
        run = Run(made)
        self._stack.callback(run.close)
        for path in (home, short):
            self._stack.callback(remove_tree, str(path))
        self._stack.callback(self._keep_output)
        self._stack.callback(self._stop_knocking, wait=True)
        self._environ = self._server_environ(environ, self.home or home, short / "t", run.id)
        self._output = {"stdout": home / "stdout", "stderr": home / "stderr"}
        locks = [run.lock.descriptor, *ports.locks]
        self._guard = Guard(made, locks)
        self._stack.callback(_end, self._guard, run.id)
        self._launched = time.monotonic()
        # The full path as argv[0] too: Python finds its environment by it.
        words = [*wrapper, executable, *self.command[1:]]
        self.pid, start_time = self._guard.launch(
            words[0],
            words,
            self._environ,
            (self.home or home) / "work",
            home / "stdout",
            home / "stderr",
        )
        self._census = Census(self.profile, self.pid, groups, self.port, self._touchers)
        self._census.note(procfs.Stat(self.pid, self._guard.pid, "R", start_time, ()))
        self.on_event()
        self.events.append(Event(0.0, "launch", f"launched as process {self.pid}"))

    def close(self) -> None:
        """Kill every process, remove every file, free every port. Harmless when repeated.

        :raises GuardError: something could not be killed.
        """
        self._stack.close()

    def _make_directory(self) -> Path:
        if self.directory is not None and not self.directory.exists():
            self.directory.mkdir(parents=True)
            self._stack.callback(remove_tree, str(self.directory))
        home = Path(tempfile.mkdtemp(prefix="gpu-visibility-server-", dir=self.directory)).resolve()
        for name in ("home", "tmp", "work"):
            ((self.home or home) / name).mkdir(parents=True, exist_ok=True)
        return home

    def _server_environ(self, environ: Mapping[str, str], home: Path, temporary: Path, run: str) -> dict[str, str]:
        kept = {name: value for name, value in environ.items() if not HARNESS_VARIABLES.fullmatch(name)}
        if site.ENABLE_USER_SITE:
            kept.setdefault("PYTHONUSERBASE", site.getuserbase())  # it would be looked for below HOME
        return {
            **kept,
            "HOME": str(home / "home"),
            "XDG_CACHE_HOME": str(home / "home" / ".cache"),
            "TMPDIR": str(temporary),
            **self.profile_environ,
            RUN_VARIABLE: run,
        }

    @property
    def profile_environ(self) -> dict[str, str]:
        """What the profile adds to its environment, filled in."""
        return {name: fill(value, self._values) for name, value in self.profile.server.env.items()}

    def _keep_output(self) -> None:
        self._output = {name: self._text(name) for name in self._output}

    # What there is.

    @property
    def seen(self) -> dict[int, ProcessFacts]:
        """Every process that ever belonged to it, by pid: see :class:`Census`."""
        return self._census.seen if self._census is not None else {}

    @property
    def _known(self) -> Census:
        if self._census is None:
            raise RuntimeError("the server was not started")
        return self._census

    def worker(self, group: int) -> ProcessFacts | None:
        """The living worker of a group, else the last one."""
        return self._known.worker(group)

    @property
    def worker_ports(self) -> list[int]:
        """One a group: where its worker listens."""
        return [self.profile.worker_port(group, self.port) for group in range(self.groups)]

    @property
    def stdout(self) -> str:
        """What the server's processes wrote so far, the last 256 KiB."""
        return self._text("stdout")

    @property
    def stderr(self) -> str:
        """The same for standard error."""
        return self._text("stderr")

    def _text(self, name: str) -> str:
        source = self._output[name]
        if isinstance(source, str):
            return source
        try:
            with open(source, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    @property
    def exit_code(self) -> int | None:
        """The launcher's, negative for a signal; None while it runs."""
        exits = self._guard.exits if self._guard is not None else {}
        return exits[self.pid][0] if self.pid in exits else None

    def observe(self) -> list[ProcessFacts]:
        """Look at the processes now: bring ``seen`` up to date, and return those that live.

        :raises GuardError: the supervisor is gone, so nobody can tell.
        """
        return self._look(procfs.family)

    def _look(self, members: Callable[[int], list[int]]) -> list[ProcessFacts]:
        guard = self._pump(0)
        stats = [found for pid in members(guard.pid) if (found := procfs.stat(pid)) is not None and found.alive]
        return self._known.take(stats, guard.exits)

    def _pump(self, timeout: float) -> Guard:
        if self._guard is None:
            raise RuntimeError("the server was not started")
        if not self._guard.pump(timeout):
            raise GuardError(f"the supervisor of the server's processes (pid {self._guard.pid}) is gone")
        return self._guard

    @property
    def _ports(self) -> range:
        return range(self.port, self.port + self.profile.port_count(self.groups, self.devices))

    # Waiting.

    def wait_until_ready(self, deadline: float | None = None) -> Outcome:
        """Wait up to ``deadline`` seconds (the profile's by default), until the server is ready or its
        launcher has ended.

        A server without groups is ready when its front door is open.
        """
        patience = self._patience(self.profile.server.ready_deadline if deadline is None else deadline)
        signs = self._signs()
        try:
            while True:
                self.observe()
                if self.exit_code is not None:
                    self._check_ports()
                    return self._outcome("exited")
                signs = [sign for sign in signs if not sign()]
                if not signs:
                    self._known.look_at_ports_next()
                    self.observe()
                    self._known.launcher_may_work()
                    outcome = self._outcome("ready")
                    self.startup_seconds = outcome.seconds
                    return outcome
                left = patience.left()
                if left <= 0:
                    self._check_ports()
                    return self._outcome("timeout")
                self._pump(min(POLL, left))
        finally:
            self._stop_knocking()

    def _patience(self, seconds: float) -> Patience:
        return Patience(seconds, self._delays)

    def _delays(self) -> dict[int, float]:
        return {pid: procfs.run_delay(pid) for pid, facts in self.seen.items() if facts.alive}

    def _check_ports(self) -> None:
        """A server that did not become ready is not to blame where somebody else has taken a port of its.

        :raises GuardError: somebody has.
        """
        inodes = procfs.listening(self._ports)
        if not inodes:
            return
        self.observe()
        own = {inode for pid, facts in self.seen.items() if facts.alive for inode in procfs.sockets(pid)}
        foreign = sorted(port for port, listeners in inodes.items() if not listeners & own)
        if foreign and set(procfs.listening(foreign)) & set(foreign):  # not of a process that has just ended
            raise GuardError(
                f"port {foreign[0]}, which the server was given, was taken by another program while the server started."
                " Run it again; a program that takes ports below the ephemeral range may do the same again."
            )

    def _signs(self) -> list[Callable[[], bool]]:
        """What must all have been true once for the server to be ready."""
        ready = self.profile.server.ready
        if ready.kind == "log":
            wanted = amount(ready.times, self.groups, self.devices)
            return [lambda: len(ready.expect.findall(self.stdout + "\n" + self.stderr)) >= wanted]
        if self.groups < 1:
            return [self.answers_front]
        if ready.kind == "request":
            return [self._knock(self._call(group), self.worker_ports[group]) for group in range(self.groups)]
        return [self._knock(call) for call in self._ready_calls()]

    def _ready_calls(self) -> list[Call]:
        """What the profile's ``ready`` asks, filled in for each worker, once where that makes no difference."""
        ready = self.profile.server.ready
        url = ready.url or ("tcp://{host}:{worker_port}" if ready.kind == "tcp" else "")
        groups = ({"group": str(group), "worker_port": str(port)} for group, port in enumerate(self.worker_ports))
        filled = (
            tuple(fill(text, {**self._values, **group}) for text in (url, ready.send, *ready.command))
            for group in groups
        )
        return [
            Call(ready.kind, ready.expect, ready.deadline, url, send, command=tuple(command), environ=self._environ)
            for url, send, *command in dict.fromkeys(filled)
        ]

    def _knock(self, call: Call, port: int | None = None) -> Callable[[], bool]:
        knocker = Knocker(call, port, self.profile.server.host)
        self._knockers.append(knocker)
        knocker.start()
        return knocker.answered.is_set

    def _stop_knocking(self, wait: bool = False) -> None:
        for knocker in self._knockers:
            knocker.stop()
        if wait:
            for knocker in self._knockers:
                knocker.join(knocker.call.deadline + 1)

    def _call(self, group: int) -> Call:
        return worker_call(self.profile, group, self._values, self.port, self._environ)

    def _outcome(self, kind: str) -> Outcome:
        outcome = Outcome(kind, self._seconds(), self.exit_code)
        words = {
            "ready": "ready, as the profile tells",
            "exited": f"the launcher has ended by itself: {_exit_words(outcome.exit_code)}",
            "timeout": "neither ready nor ended; waited no longer",
            "loading": "every worker has been started, and loads",
        }
        self._tell(kind, words[kind])
        return outcome

    def _tell(self, kind: str, text: str) -> None:
        self.on_event()
        self.events.append(Event(self._seconds(), kind, text))

    def timeline(self) -> list[Event]:
        """``events`` and the lives of all processes seen, in the order of their beginning."""
        launched = time.time() - self._seconds()
        lives = [
            Event(
                max(0.0, facts.first_seen - launched),
                "process",
                f"{self.title(facts)}{'' if facts.exit_code is None else f': {_exit_words(facts.exit_code)}'}",
                None if facts.ended is None else max(0.0, facts.ended - launched),
            )
            for facts in self.seen.values()
        ]
        return sorted([*lives, *self.events], key=lambda event: (event.kind != "launch", event.seconds))

    @staticmethod
    def title(facts: ProcessFacts) -> str:
        """A process in a few words: role, group, pid."""
        group = "" if facts.group is None else f" {facts.group}"
        program = f" {os.path.basename(facts.argv[0])}" if facts.role == "other" and facts.argv else ""
        return f"{facts.role}{group}{program} ({facts.pid})"

    def _seconds(self) -> float:
        return time.monotonic() - self._launched

    def wait_for_worker(self, group: int, deadline: float | None = None) -> ProcessFacts | None:
        """The worker of a group as soon as it appears; None when the launcher ends first, or after
        ``deadline`` seconds.
        """
        patience = self._patience(self.profile.server.ready_deadline if deadline is None else deadline)
        while True:
            self.observe()
            worker = self.worker(group)
            left = patience.left()
            if worker is not None or self.exit_code is not None or left <= 0:
                return worker
            self._pump(min(FAST_POLL, left))

    def wait_for_workers(self, deadline: float | None = None) -> Outcome:
        """Wait until the last group's worker has been started, ready or not: ``loading``, ``exited`` or ``timeout``."""
        worker = self.wait_for_worker(self.groups - 1, deadline)
        if self.exit_code is not None:
            return self._outcome("exited")
        return self._outcome("loading" if worker is not None else "timeout")

    def wait_for_end(self, pid: int, deadline: float) -> bool:
        """Wait until a process of ``seen`` is gone; False when it still lives after ``deadline`` seconds."""
        patience = self._patience(deadline)
        while procfs.is_alive(pid, self.seen[pid].start_time):
            left = patience.left()
            if left <= 0:
                return False
            self._pump(min(POLL, left))
        self.observe()
        return True

    def wait_exit(self, deadline: float | None = None) -> int | None:
        """The launcher's exit code, negative for a signal; None when it still runs after ``deadline``
        seconds.

        By default the profile's ``stop_deadline``.
        """
        patience = self._patience(self.profile.server.stop_deadline if deadline is None else deadline)
        self._pump(0)
        while self.exit_code is None and (left := patience.left()) > 0:
            self._pump(left)
        return self.exit_code

    def wait_all_gone(self, deadline: float | None = None) -> list[ProcessFacts]:
        """Wait until no process of the server lives; after ``deadline`` seconds, those that do, with the
        ports they hold.

        By default the profile's ``stop_deadline``.
        """
        patience = self._patience(self.profile.server.stop_deadline if deadline is None else deadline)
        while self.observe() or self._look(procfs.everyone_below):
            left = patience.left()
            if left <= 0:
                survivors = self._with_ports(self._look(procfs.everyone_below))
                self._tell("end", f"{len(survivors)} processes are left; waited no longer")
                return survivors
            self._pump(min(POLL, left))
        self._tell("end", "no process is left")
        return []

    def _with_ports(self, survivors: list[ProcessFacts]) -> list[ProcessFacts]:
        owners = self._known.listeners(self._ports)
        for facts in survivors:
            held = tuple(port for port, pids in owners.items() if facts.pid in pids)
            self.seen[facts.pid] = dataclasses.replace(facts, ports=held)
        return [self.seen[facts.pid] for facts in survivors]

    # Acting.

    def request(self, group: int) -> Reply:
        """Ask the worker of a group what the profile's request says, once.

        :raises UserError: the profile has no request.
        """
        reply = self._call(group)()
        self._tell("request", f"asked group {group}: {'answered' if reply.ok else reply.error}")
        return reply

    def ask(self, request: Request, group: int) -> Reply:
        """Make another of the profile's requests to the worker of a group, once."""
        reply = worker_call(self.profile, group, self._values, self.port, self._environ, request)()
        self._tell("request", f"asked group {group} something else: {'answered' if reply.ok else reply.error}")
        return reply

    def get(self, url: str, group: int | None = None) -> Reply:
        """What a url of the profile answers; ``group`` is the one that ``{worker_port}`` and ``{group}`` mean."""
        values = self._values
        if group is not None:
            values = {**values, "group": str(group), "worker_port": str(self.worker_ports[group])}
        return Call("http", _ANYTHING, URL_DEADLINE, fill(url, values))()

    def says_ready(self) -> bool:
        """Whether it reports that it is ready: by its health url, or, without one, by an open front door."""
        health = self.profile.reports.health
        return self.get(health).ok if health else self.answers_front()

    def wait_until_it_says_ready(self) -> bool:
        """:meth:`says_ready`, once its front door has had the time to follow the workers.

        Without a health url nobody knows whether there is a front door to wait for.
        """
        deadline = self.profile.server.ready_deadline if self.profile.reports.health else 0.0
        return self.wait_for(self.says_ready, deadline)

    def wait_for(self, condition: Callable[[], bool], deadline: float) -> bool:
        """Whether ``condition`` comes true within ``deadline`` seconds and before the launcher has ended."""
        patience = self._patience(deadline)
        while not condition():
            left = patience.left()
            if left <= 0 or self.exit_code is not None:
                return False
            self._pump(min(PORT_POLL, left))
        return True

    def answers_front(self) -> bool:
        """Whether the front door, ``port``, accepts a connection."""
        return requests.accepts(self.port, self.profile.server.host)

    def signal_launcher(self, number: signal.Signals) -> bool:
        """Send a signal to the launcher alone; False when it is gone."""
        return self.kill(self.pid, number)

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
        """Send a signal to one process of ``seen``; False when it is gone, whoever has its pid by now."""
        self._tell("signal", f"{signal.Signals(number).name} to {self.title(self.seen[pid])}")
        return procfs.send_signal(pid, self.seen[pid].start_time, number)

    def signal_group(self, number: signal.Signals) -> bool:
        """Send a signal to the launcher's process group, as a terminal does at Ctrl-C; False when none is
        left in it.
        """
        if not any(procfs.group(facts.pid) == self.pid for facts in self.observe()):
            return False
        self._tell("signal", f"{number.name} to the launcher's process group, as at Ctrl-C")
        os.killpg(self.pid, number)
        return True


def _exit_words(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has no name
        return f"killed by signal {-code}"


def _make_short_directory() -> Path:
    """For the path of TMPDIR: servers put their sockets there."""
    root = ROOT_OF_SOCKETS if os.access(ROOT_OF_SOCKETS, os.W_OK | os.X_OK) else None
    return Path(tempfile.mkdtemp(prefix="gpu-visibility-", dir=root))


def _end(guard: Guard, run: str) -> None:
    """Leave no process, also when the supervisor was killed or does not answer."""
    killed = False
    try:
        killed = guard.close()
    finally:
        if not killed:
            kill_marked([run])
