"""What is to be launched, and done to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from ..environment import describe_mask
from ..profile import Option
from .keys import key_of


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do to a server that is ready: a name in :data:`ACTION_WORDS`, and what else it needs to know.

    - ``idle``: make one more request to each worker, then wait for the profile's ``idle`` seconds, or until the
      launcher ends. What a thread does after the first requests is seen then.
    - ``second_model``: make the profile's request of that name, which loads another model or adds a worker.
    - ``kill_worker``: kill the last group's worker, and each that takes its place, ``times`` at most.
    - ``reload``: have the last group's worker give its model up and take it again, ``times``.
    - ``beside``: start the server once more on the same machine, under the mask ``visible``, while the first one runs.
    """

    name: str
    values: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, name: str, **values: object) -> Action:
        return cls(name, tuple((key, str(value)) for key, value in values.items()))

    def __getitem__(self, key: str) -> str:
        return dict(self.values)[key]

    def describe(self) -> str:
        """A few words for the line that describes a launch."""
        return ACTION_WORDS[self.name].format_map(dict(self.values))


ACTION_WORDS: Mapping[str, str] = {
    "idle": "then asked again and idle",
    "second_model": "then a second model",
    "kill_worker": "a worker killed up to {times} times",
    "reload": "a model given up and taken again {times} times",
    "beside": "beside a second server with CUDA_VISIBLE_DEVICES={visible}",
}
IDLE = Action("idle")
SECOND_MODEL = Action("second_model")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One launch. ``visible`` and ``device_order`` are the two CUDA variables; None means unset."""

    inventory: str = "a100x8"
    visible: str | None = None
    device_order: str | None = None
    groups: int = 1
    devices: int = 1
    layout: str | None = None
    """Replaces ``{groups}…{devices}`` in the command: for layouts that no two numbers can express."""
    nvidia_smi: bool = True
    worker_dies_in_setup: bool = False
    ending: str = "stop"
    """``stop`` as the profile says, a signal to the launcher, or ``kill-workers``."""
    ends_in_setup: bool = False
    """The ending comes as soon as every worker has been started, before any of them is ready."""
    refused_first: tuple[int, int] | None = None
    """Launched before, on the same machine and ports and with the same files: so many groups, and devices a group."""
    environ: tuple[tuple[str, str], ...] = ()
    """Further variables of the server's environment."""
    faults: tuple[str, ...] = ()
    """What is wrong with the machine's driver, of :data:`inventory.MACHINE_FAULTS`."""
    device_nodes: bool = False
    """/dev has the nodes of the inventory's GPUs, where the caller may arrange that."""
    options: tuple[Option, ...] = ()
    """Entries of the profile's ``[server.options]`` that the command gets."""
    actions: tuple[Action, ...] = ()
    """What is done once every worker has answered a request."""

    @property
    def key(self) -> str:
        """The same for the same launch, in every process."""
        return key_of(dataclasses.astuple(self))

    @property
    def needs_simulation(self) -> str:
        """What of it no real machine can be brought to, in words; empty where there is nothing."""
        if not self.nvidia_smi:
            return "a machine without nvidia-smi"
        if self.faults:
            return f"a machine with {', '.join(self.faults)}"
        return "device nodes of an inventory" if self.device_nodes else ""

    @property
    def asked(self) -> int:
        """How many devices the layout asks for."""
        return self.groups * self.devices

    def describe(self) -> str:
        """One line that a person can read: the variables, the layout, what was done."""
        parts = [describe_mask(self.visible)]
        if self.device_order is not None:
            parts.append(f"CUDA_DEVICE_ORDER={self.device_order}")
        parts.append(f"layout {self.layout!r}" if self.layout is not None else _layout_words(self.groups, self.devices))
        parts[1:1] = [f"{name}={value}" for name, value in self.environ]
        parts += [option.describe() for option in self.options]
        if not self.nvidia_smi:
            parts.append("no nvidia-smi on PATH")
        parts += self.faults
        if self.refused_first:
            parts.append(f"after a launch of {_layout_words(*self.refused_first)}")
        if self.worker_dies_in_setup:
            parts.append("one worker killed while it starts")
        parts += [action.describe() for action in self.actions]
        if self.ending == "kill-workers":
            parts.append("all workers killed")
        elif self.ending != "stop":
            parts.append(f"{self.ending} to the launcher" + " while it loads" * self.ends_in_setup)
        return ", ".join(parts)


def _layout_words(groups: int, devices: int) -> str:
    return f"{groups} group{'s' if groups != 1 else ''} of {devices}"
