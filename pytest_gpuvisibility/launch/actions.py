"""What a scenario does to a server that is ready, beyond one request to each worker."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..errors import UserError
from ..profile import Request
from ..records import Action, ActionResult, SelfReport, WorkerKill
from ..server import ServerProcess, accepts, says_ready, self_reports

KILL_LIMIT = 10.0
"""Seconds in which a killed process must be gone."""


@dataclass(frozen=True)
class ActionContext:
    """Where actions are done: the server, and how to start another one beside it. Returns why that is not ready."""

    server: ServerProcess
    start_beside: Callable[[str], str]


def perform(action: Action, context: ActionContext) -> ActionResult:
    """Do it.

    :raises KeyError: nobody knows the action.
    """
    began = time.time()
    outcome = _ACTIONS[action.name](action, context)
    if isinstance(outcome, str):
        return ActionResult(action, began, error=outcome)
    return ActionResult(action, began, worker_kills=outcome)


def _idle(action: Action, context: ActionContext) -> str:
    server = context.server
    asks = server.profile.server.request is not None
    errors = [server.request(group).error for group in range(server.groups if asks else 0)]
    server.wait_exit(server.profile.server.idle)
    return "; ".join(filter(None, errors))


def _second_model(action: Action, context: ActionContext) -> str:
    profile = context.server.profile
    if profile.server.second_model is None:
        raise UserError(f"{profile.path} has no [server].second_model. Describe the request there.")
    return context.server.ask(profile.server.second_model, 0).error


def _beside(action: Action, context: ActionContext) -> str:
    return context.start_beside(action["visible"])


def _reload(action: Action, context: ActionContext) -> str:
    server, group = context.server, context.server.groups - 1
    steps = {"unload": server.profile.server.unload, "load": server.profile.server.load}
    for turn in range(1, int(action["times"]) + 1):
        for name, request in (*steps.items(), ("request", server.profile.server.request)):
            if request is None:
                continue
            error = _ask_until_answered(server, request, group)
            if error:
                return f"{name}, for the {turn}. time: {error}"
    return ""


def _ask_until_answered(server: ServerProcess, request: Request, group: int) -> str:
    """Why it is not answered, when its time to react is over; freeing a model may take a while."""
    error = ""

    def answered() -> bool:
        nonlocal error
        error = server.ask(request, group).error
        return not error

    server.wait_for(answered, server.profile.server.reaction_deadline)
    return error


def _kill_worker(action: Action, context: ActionContext) -> tuple[WorkerKill, ...]:
    """Kill the worker of the last group, and each one that takes its place; empty where no process can be told to be
    that worker.
    """
    kills: list[WorkerKill] = []
    while len(kills) < int(action["times"]) and (not kills or kills[-1].outcome == "replaced"):
        kill = _kill(context.server, context.server.groups - 1)
        if kill is None:
            break
        kills.append(kill)
    return tuple(kills)


def _kill(server: ServerProcess, group: int) -> WorkerKill | None:
    victim = server.worker(group)
    if victim is None or not victim.alive:
        return None
    began = time.monotonic()
    touched = server.has_touched(group)
    server.kill(victim.pid, signal.SIGKILL)
    server.wait_for_end(victim.pid, KILL_LIMIT)
    outcome = "ready"

    def decided() -> bool:
        nonlocal outcome
        outcome = _state(server, group, victim.pid, touched)
        # One that restarts its workers is not ready for a moment, and then ready again.
        return outcome in ("ended", "replaced") or (outcome == "not-ready" and not server.profile.supports.restarts)

    server.wait_for(decided, server.profile.server.reaction_deadline)
    if server.exit_code is not None:
        outcome = "ended"
    seconds = time.monotonic() - began
    if outcome != "replaced":
        return WorkerKill(group, victim.pid, outcome, seconds)
    successor = server.worker(group)
    said = self_reports.read(server).get("workers", SelfReport())
    return WorkerKill(group, victim.pid, outcome, seconds, successor.pid if successor else None, said.found)


def _state(server: ServerProcess, group: int, dead: int, touched: bool) -> str:
    server.observe()
    if server.exit_code is not None:
        return "ended"
    successor = server.worker(group)
    if successor is not None and successor.alive and successor.pid != dead and _answers(server, group):
        # Behind one door anybody may have answered; what its predecessor did with a device proves that it works.
        return "replaced" if not touched or _touches_now(server, group) else "untouched"
    return "ready" if says_ready(server) else "not-ready"


def _touches_now(server: ServerProcess, group: int) -> bool:
    touching = [server.seen[pid] for pid in server.touching_now() if pid in server.seen]
    return any(facts.alive and facts.group == group for facts in touching)


def _answers(server: ServerProcess, group: int) -> bool:
    if server.profile.server.request is not None:
        return server.request(group).ok
    return accepts(server.worker_ports[group], server.profile.server.host)


_ACTIONS: Mapping[str, Callable[[Action, ActionContext], str | tuple[WorkerKill, ...]]] = {
    "idle": _idle,
    "second_model": _second_model,
    "beside": _beside,
    "kill_worker": _kill_worker,
    "reload": _reload,
}
"""Why an action failed, or what became of the workers that it killed."""
