"""What a scenario does to a server that is ready, beyond one request to each worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import UserError
from .server import ServerProcess


@dataclass(frozen=True, slots=True)
class Act:
    """One thing to do: a name in :data:`ACTS`, and what else it needs to know.

    - ``idle``: make one more request to each worker, then wait for the profile's ``idle`` seconds, or until the
      launcher ends. What a thread does after the first requests is seen then.
    - ``second_model``: make the profile's request of that name, which loads another model or adds a worker.
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
    return Deed(act, began, ACTS[act.name](act, scene))


def _idle(act: Act, scene: Scene) -> str:
    server = scene.server
    asks = server.profile.server.request is not None
    errors = [server.request(group).error for group in range(server.groups if asks else 0)]
    server.wait_exit(server.profile.server.idle)
    return "; ".join(filter(None, errors))


def _second_model(act: Act, scene: Scene) -> str:
    profile = scene.server.profile
    if profile.server.second_model is None:
        raise UserError(f"{profile.path} has no [server].second_model. Describe the request there.")
    return scene.server.ask(profile.server.second_model, 0).error


def _beside(act: Act, scene: Scene) -> str:
    return scene.start_beside(act["visible"])


ACTS: Mapping[str, Callable[[Act, Scene], str]] = {
    "idle": _idle,
    "second_model": _second_model,
    "beside": _beside,
}
DESCRIPTIONS: Mapping[str, str] = {
    "idle": "then asked again and idle",
    "second_model": "then a second model",
    "beside": "beside a second server with CUDA_VISIBLE_DEVICES={visible}",
}
