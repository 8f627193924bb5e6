"""When a launched server is ready, as its profile tells, and whether it says so itself."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from ..host import SupervisorError, procfs
from ..profile import amount, fill
from .process import POLL, ServerProcess
from .requests import Call, ReadinessProbe, accepts, worker_call
from .service import Service
from .timeline import exit_words

DOOR_LIMIT = 5.0
"""Seconds that a front door may take to answer anything."""
_ANYTHING = re.compile("")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How waiting for a server ended.

    ``kind``: ``ready`` (as the profile's ``ready`` says), ``exited`` (the launcher ended first), ``timeout``,
    ``unanswered`` (ready by that sign, but not every request was answered), or ``loading`` where that was waited for.
    ``seconds`` count from the launch. ``exit_code`` is the launcher's, negative for a signal; None while it runs.
    """

    kind: str
    seconds: float
    exit_code: int | None


def wait_until_ready(server: ServerProcess, deadline: float | None = None) -> Outcome:
    """Wait up to ``deadline`` seconds (the profile's by default), until the server is ready or its launcher has ended.

    A server without groups is ready when its front door answers, whatever it says: no worker can give a sign.

    :raises SupervisorError: another program has taken a port of the server's.
    """
    limit = server.deadline(server.profile.server.ready_deadline if deadline is None else deadline)
    with contextlib.ExitStack() as stack:
        signs = _signs(server, stack)
        while True:
            server.observe()
            if server.exit_code is not None:
                _check_ports(server)
                return _outcome(server, "exited")
            signs = [sign for sign in signs if not sign()]
            if not signs:
                server.settle_roles()
                return _outcome(server, "ready")
            left = limit.left()
            if left <= 0:
                _check_ports(server)
                return _outcome(server, "timeout")
            server.pump(min(POLL, left))


def wait_for_workers(server: ServerProcess, deadline: float | None = None) -> Outcome:
    """Wait until the last group's worker has been started, ready or not: ``loading``, ``exited`` or ``timeout``."""
    worker = server.wait_for_worker(server.groups - 1, deadline)
    if server.exit_code is not None:
        return _outcome(server, "exited")
    return _outcome(server, "loading" if worker is not None else "timeout")


def served_or_not(server: ServerProcess, service: Service) -> Outcome:
    """What becomes of a server that has given its sign: ``ready`` once every request is answered, ``exited`` where the
    launcher has ended by now, else ``unanswered``.
    """
    if server.exit_code is not None:
        return _outcome(server, "exited")
    if not service.answered:
        return _outcome(server, "unanswered")
    return Outcome("ready", service.seconds, None)


def says_ready(server: ServerProcess) -> bool:
    """Whether it reports that it is ready: by its health url, or, without one, by an open front door."""
    health = server.profile.reports.health
    return server.get(health).ok if health else front_door_is_open(server)


def wait_until_it_says_ready(server: ServerProcess) -> bool:
    """:func:`says_ready`, once its front door has had the time to follow the workers.

    Without a health url nobody knows whether there is a front door to wait for.
    """
    deadline = server.profile.server.ready_deadline if server.profile.reports.health else 0.0
    return server.wait_for(lambda: says_ready(server), deadline)


def front_door_is_open(server: ServerProcess) -> bool:
    """Whether its port accepts a connection."""
    return accepts(server.port, server.profile.server.host)


def _signs(server: ServerProcess, stack: contextlib.ExitStack) -> list[Callable[[], bool]]:
    """What must all have been true once for the server to be ready. ``stack``: ends the asking."""
    ready = server.profile.server.ready
    if server.groups < 1:
        return [_front_door(server, stack)]
    if ready.kind == "log":
        wanted = amount(ready.times, server.groups, server.devices)
        return [lambda: len(ready.expect.findall(server.stdout + "\n" + server.stderr)) >= wanted]
    calls: list[tuple[Call, int | None]]
    if ready.kind == "request":
        calls = [
            (worker_call(server.profile, group, server.values, server.port, server.environ), port)
            for group, port in enumerate(server.worker_ports)
        ]
    else:
        calls = [(call, None) for call in _ready_calls(server)]
    return [_probe(server, call, port, stack) for call, port in calls]


def _ready_calls(server: ServerProcess) -> list[Call]:
    """What the profile's ``ready`` asks, filled in for each worker, once where that makes no difference."""
    ready = server.profile.server.ready
    url = ready.url or ("tcp://{host}:{worker_port}" if ready.kind == "tcp" else "")
    groups = ({"group": str(group), "worker_port": str(port)} for group, port in enumerate(server.worker_ports))
    filled = (
        tuple(fill(text, {**server.values, **group}) for text in (url, ready.send, *ready.command)) for group in groups
    )
    return [
        Call(ready.kind, ready.expect, ready.deadline, url, send, command=tuple(command), environ=server.environ)
        for url, send, *command in dict.fromkeys(filled)
    ]


def _probe(server: ServerProcess, call: Call, port: int | None, stack: contextlib.ExitStack) -> Callable[[], bool]:
    probe = ReadinessProbe(call, port, server.profile.server.host)
    stack.callback(probe.stop)
    server.when_ended(lambda: probe.join(call.deadline + 1))
    probe.start()
    return probe.answered.is_set


def _front_door(server: ServerProcess, stack: contextlib.ExitStack) -> Callable[[], bool]:
    """An open port alone is no sign: a server may listen before it has looked at its arguments, and never answer."""
    host = server.profile.server.host
    return _probe(server, Call("door", _ANYTHING, DOOR_LIMIT, f"tcp://{host}:{server.port}"), None, stack)


def _check_ports(server: ServerProcess) -> None:
    """A server that did not become ready is not to blame where somebody else has taken a port of its.

    :raises SupervisorError: somebody has.
    """
    inodes = procfs.listening(server.ports)
    if not inodes:
        return
    server.observe()
    own = {inode for pid, facts in server.seen.items() if facts.alive for inode in procfs.sockets(pid)}
    foreign = sorted(port for port, listeners in inodes.items() if not listeners & own)
    if foreign and set(procfs.listening(foreign)) & set(foreign):  # not of a process that has just ended
        raise SupervisorError(
            f"port {foreign[0]}, which the server was given, was taken by another program while the server started."
            " Run it again; a program that takes ports below the ephemeral range may do the same again."
        )


def _outcome(server: ServerProcess, kind: str) -> Outcome:
    outcome = Outcome(kind, server.timeline.seconds, server.exit_code)
    words = {
        "ready": "ready, as the profile tells",
        "exited": f"the launcher has ended by itself: {exit_words(outcome.exit_code)}",
        "unanswered": "gave its sign of readiness, and did not answer every request; waited no longer",
        "timeout": "neither ready nor ended; waited no longer",
        "loading": "every worker has been started, and loads",
    }
    server.timeline.tell(kind, words[kind])
    return outcome
