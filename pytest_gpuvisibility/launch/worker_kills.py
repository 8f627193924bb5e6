"""Kill workers of a server that runs, and see what it does about it."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..server import requests, self_reports
from ..server.process import ServerProcess

KILL_LIMIT = 10.0
"""Seconds in which a killed process must be gone."""


@dataclass(frozen=True, slots=True)
class Loss:
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

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Loss:
        return cls(**{**data, "said": tuple(data["said"])})


def lose_workers(server: ServerProcess, times: int) -> tuple[Loss, ...]:
    """Kill the worker of the last group, and each one that takes its place, ``times`` at most.

    Empty where no process can be told to be that worker.
    """
    losses: list[Loss] = []
    while len(losses) < times and (not losses or losses[-1].outcome == "replaced"):
        loss = _lose(server, server.groups - 1)
        if loss is None:
            break
        losses.append(loss)
    return tuple(losses)


def _lose(server: ServerProcess, group: int) -> Loss | None:
    victim = server.worker(group)
    if victim is None or not victim.alive:
        return None
    began = time.monotonic()
    server.kill(victim.pid, signal.SIGKILL)
    server.wait_for_end(victim.pid, KILL_LIMIT)
    outcome = "ready"

    def decided() -> bool:
        nonlocal outcome
        outcome = _state(server, group, victim.pid)
        # One that restarts its workers is not ready for a moment, and then ready again.
        return outcome in ("ended", "replaced") or (outcome == "not-ready" and not server.profile.supports.restarts)

    server.wait_for(decided, server.profile.server.reaction_deadline)
    if server.exit_code is not None:
        outcome = "ended"
    seconds = time.monotonic() - began
    if outcome != "replaced":
        return Loss(group, victim.pid, outcome, seconds)
    successor = server.worker(group)
    said = self_reports.read(server).get("workers", self_reports.Statement())
    return Loss(group, victim.pid, outcome, seconds, successor.pid if successor else None, said.found)


def _state(server: ServerProcess, group: int, dead: int) -> str:
    server.observe()
    if server.exit_code is not None:
        return "ended"
    successor = server.worker(group)
    if successor is not None and successor.alive and successor.pid != dead and _answers(server, group):
        return "replaced"
    return "ready" if server.says_ready() else "not-ready"


def _answers(server: ServerProcess, group: int) -> bool:
    if server.profile.server.request is not None:
        return server.request(group).ok
    return requests.accepts(server.worker_ports[group], server.profile.server.host)
