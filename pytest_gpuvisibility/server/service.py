"""Whether a server that has given its sign of readiness does serve: an answer to every request, every worker at work.

A sign comes too early in many servers: one door answers for the first of several workers, a pool starts a worker when
it is asked, and a health url says 200 while the server goes down.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .process import ServerProcess
from .requests import Reply, worker_call

ROUND = 0.25
"""Seconds between two rounds of requests."""


@dataclass(frozen=True, slots=True)
class Service:
    """What had been seen when the waiting ended. ``requests``: by group, ``answered`` or why not. ``seconds``: after
    the launch, when all of that had been seen, or else the answers.
    """

    requests: dict[str, str]
    seconds: float
    complete: bool
    """Every group has a living worker, which has touched a device where that was expected, or another one has."""

    @property
    def answered(self) -> bool:
        return all(answer == "answered" for answer in self.requests.values())


def wait_for_service(server: ServerProcess, *, deadline: float, settle: float, touch: bool) -> Service:
    """Ask every worker, all at the same time, until each has answered, within ``deadline`` seconds; then wait another
    ``settle`` seconds at most for as many workers as there are groups.

    Those who lack a worker are asked again: some start one for a request that finds no idle one. It ends early when
    the launcher does.

    :param touch: wait until each worker has touched a device; where one has, the others are waited for in any case.
    """
    limit = server.deadline(deadline)
    requests = _ask_all(server)
    while not _all(requests) and limit.left() > 0 and _goes_on(server):
        requests = _ask_all(server)
    answered = server.timeline.seconds
    limit = server.deadline(settle)
    while not (complete := _is_complete(server, touch)) and _all(requests) and limit.left() > 0 and _goes_on(server):
        again = _ask_all(server)
        requests = again if _all(again) else requests
    if _all(requests) and server.exit_code is None:
        server.settle_roles()
        complete = complete or _is_complete(server, touch)
    return Service(requests, server.timeline.seconds if complete else answered, complete)


def _all(requests: dict[str, str]) -> bool:
    return all(answer == "answered" for answer in requests.values())


def _goes_on(server: ServerProcess) -> bool:
    server.pump(ROUND)
    return server.exit_code is None


def _is_complete(server: ServerProcess, touch: bool) -> bool:
    server.observe()
    workers = [server.worker(group) for group in range(server.groups)]
    there = all(worker is not None and worker.alive for worker in workers)
    if not there:
        return False
    touched = [server.has_touched(group) for group in range(server.groups)]
    return all(touched) or not (touch or any(touched))


def _ask_all(server: ServerProcess) -> dict[str, str]:
    """One request to each worker, none waiting for another: a pool's idle worker would answer for all."""
    if server.profile.server.request is None or server.groups < 1:
        return {}
    calls = {
        group: worker_call(server.profile, group, server.values, server.port, server.environ)
        for group in range(server.groups)
    }
    with ThreadPoolExecutor(len(calls), thread_name_prefix="request") as threads:
        replies: dict[int, Reply] = dict(zip(calls, threads.map(lambda call: call(), calls.values()), strict=True))
    answers = {str(group): "answered" if reply.ok else reply.error for group, reply in replies.items()}
    server.timeline.tell_answers(answers)
    return answers
