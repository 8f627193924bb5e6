"""What a scenario does to a server that is ready, beyond one request to each worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..profile.files import Request
from ..server.process import ServerProcess
from . import worker_kills
from .worker_kills import Loss


@dataclass(frozen=True, slots=True)
class Act:
    """One thing to do: a name in :data:`ACTS`, and what else it needs to know.

    - ``idle``: make one more request to each worker, then wait for the profile's ``idle`` seconds, or until the
      launcher ends. What a thread does after the first requests is seen then.
    - ``second_model``: make the profile's request of that name, which loads another model or adds a worker.
    - ``lose_workers``: kill the last group's worker, and each that takes its place, ``times`` at most.
    - ``reload``: have the last group's worker give its model up and take it again, ``times``.
    - ``beside``: start the server once more on the same machine, under the mask ``visible``, while the first one runs.
    """

    name: str
    values: tuple[tuple[str, str], ...] = ()

    def __getitem__(self, key: str) -> str:
        return dict(self.values)[key]

    def describe(self) -> str:
        """A few words for the line that describes a launch."""
        return DESCRIPTIONS[self.name].format_map(dict(self.values))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Act:
        return cls(data["name"], tuple((key, value) for key, value in data["values"]))


@dataclass(frozen=True, slots=True)
class Deed:
    """An act that was done: what it was, when it began (seconds since the epoch), and why it failed, if it did."""

    act: Act
    began: float
    error: str = ""
    losses: tuple[Loss, ...] = ()
    """Of ``lose_workers``: one for each worker that was killed."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Deed:
        losses = tuple(map(Loss.from_dict, data["losses"]))
        return cls(Act.from_dict(data["act"]), data["began"], data["error"], losses)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an act: why it failed, and what else there is to tell."""

    error: str = ""
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True)
class Scene:
    """Where acts are done: the server, and how to start another one beside it. Returns why that is not ready."""

    server: ServerProcess
    start_beside: Callable[[str], str]


IDLE = Act("idle")
SECOND_MODEL = Act("second_model")


def beside(visible: str) -> Act:
    """The act of starting the server once more, under this mask."""
    return Act("beside", (("visible", visible),))


def perform(act: Act, scene: Scene) -> Deed:
    """Do it.

    :raises KeyError: nobody knows the act.
    """
    began = time.time()
    result = ACTS[act.name](act, scene)
    return Deed(act, began, result.error, result.losses)


def lose_workers(times: int) -> Act:
    """The act of killing a worker, and each that takes its place, so often."""
    return Act("lose_workers", (("times", str(times)),))


def reload(times: int) -> Act:
    """The act of having a worker give its model up and take it again, so often."""
    return Act("reload", (("times", str(times)),))


def _idle(act: Act, scene: Scene) -> Result:
    server = scene.server
    asks = server.profile.server.request is not None
    errors = [server.request(group).error for group in range(server.groups if asks else 0)]
    server.wait_exit(server.profile.server.idle)
    return Result("; ".join(filter(None, errors)))


def _second_model(act: Act, scene: Scene) -> Result:
    profile = scene.server.profile
    if profile.server.second_model is None:
        raise UserError(f"{profile.path} has no [server].second_model. Describe the request there.")
    return Result(scene.server.ask(profile.server.second_model, 0).error)


def _beside(act: Act, scene: Scene) -> Result:
    return Result(scene.start_beside(act["visible"]))


def _lose_workers(act: Act, scene: Scene) -> Result:
    return Result(losses=worker_kills.lose_workers(scene.server, int(act["times"])))


def _reload(act: Act, scene: Scene) -> Result:
    server, group = scene.server, scene.server.groups - 1
    steps = {"unload": server.profile.server.unload, "load": server.profile.server.load}
    for turn in range(1, int(act["times"]) + 1):
        for name, request in (*steps.items(), ("request", server.profile.server.request)):
            if request is None:
                continue
            error = _ask_until_answered(server, request, group)
            if error:
                return Result(f"{name}, for the {turn}. time: {error}")
    return Result()


def _ask_until_answered(server: ServerProcess, request: Request, group: int) -> str:
    """Why it is not answered, when its time to react is over; freeing a model may take a while."""
    error = ""

    def answered() -> bool:
        nonlocal error
        error = server.ask(request, group).error
        return not error

    server.wait_for(answered, server.profile.server.reaction_deadline)
    return error


ACTS: Mapping[str, Callable[[Act, Scene], Result]] = {
    "idle": _idle,
    "second_model": _second_model,
    "beside": _beside,
    "lose_workers": _lose_workers,
    "reload": _reload,
}
DESCRIPTIONS: Mapping[str, str] = {
    "idle": "then asked again and idle",
    "second_model": "then a second model",
    "lose_workers": "a worker killed up to {times} times",
    "reload": "a model given up and taken again {times} times",
    "beside": "beside a second server with CUDA_VISIBLE_DEVICES={visible}",
}
