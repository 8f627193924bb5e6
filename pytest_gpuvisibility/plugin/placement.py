"""Where one test runs: on the session's machine or on one of its own, under its own mask; undone when it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from ..environment import MASK, ORDER, OUTER, describe_mask, restore
from ..inventory import AnyDevice, Inventory
from ..masks import Visibility, narrow, resolve
from .gpu_session import narrowed
from .markers import INVENTORY, MarkerRequest, marker_request
from .options import Setting
from .own_process import OwnProcess
from .session import CLAIM, PLACE, SESSION

if TYPE_CHECKING:
    from .gpu_machine import GpuMachine
    from .gpu_session import GpuSession


@dataclass
class TestPlace:
    """A machine, and what the test was given of it."""

    __test__ = False  # pytest takes classes of such names for tests

    inventory: Inventory
    kind: str
    given: Visibility
    test: str
    process: OwnProcess
    machine: GpuMachine | None = None

    @property
    def devices(self) -> tuple[AnyDevice, ...]:
        """What is visible now, in CUDA's order."""
        return resolve(os.environ.get(MASK), self.inventory, device_order=os.environ.get(ORDER)).devices

    def environ(self) -> dict[str, str]:
        """The environment for a child that is to see what the test sees."""
        return {name: value for name, value in os.environ.items() if name != OUTER}

    def mask(self, setting: Setting) -> None:
        """Let the test and its children see only that part of what was given.

        :raises UserError: it asks for a device that is not there or not permitted, or CUDA has shown others before.
        """
        os.environ[MASK] = narrowed(setting, self.given, self.inventory, self.kind)
        self.follow()

    def follow(self) -> None:
        """Let CUDA in this process show what the environment says.

        :raises WrongGpus: it has shown others, and keeps them.
        """
        self.process.follow(self.devices, self.inventory, self.kind, self.test)


@dataclass(frozen=True)
class Destination:
    """Devices that a test is about to be given."""

    devices: tuple[AnyDevice, ...]
    kind: str


def asks_for_machine(item: pytest.Item) -> bool:
    """Whether a test runs on a simulated machine of its own, or one that it shares with some others."""
    fixtures: list[str] = getattr(item, "fixturenames", [])
    return bool(item.get_closest_marker(INVENTORY.name)) or any(name.startswith("gpu_machine") for name in fixtures)


def destination(item: pytest.Item) -> Destination | None:
    """Where a test goes that runs under one of several masks, or with a lease of its own; None for any other."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if SESSION not in item.config.stash or not (CLAIM in item.stash or PLACE in parameters):
        return None
    session, asked = item.config.stash[SESSION], marker_request(item)
    given = session.under(parameters.get(PLACE))
    if asked.visibility is not None:
        given = session.under(narrowed(asked.visibility, given, session.inventory, session.kind))
    return Destination(() if asked.no_gpu else given.devices, session.kind)


@contextmanager
def in_session(session: GpuSession, mask: str | None, process: OwnProcess, test: str) -> Iterator[TestPlace]:
    """The session's own machine, for one test. ``mask``: one of several that the session runs under.

    :raises UserError: this process has loaded another driver than the machine's.
    """
    given = session.under(mask)
    with _environment_restored(MASK, ORDER), ExitStack() as stack:
        if session.machine is not None and not session.selected:
            session.machine.attach()
            stack.callback(session.machine.detach)
        restore(os.environ, {MASK: given.requested, ORDER: given.device_order})
        yield TestPlace(session.inventory, session.kind, given, test, process)


@contextmanager
def on_machine(machine: GpuMachine, process: OwnProcess, test: str) -> Iterator[TestPlace]:
    """A machine of the test's own; programs that it starts find it, and so does its own process.

    :raises UserError: this process has loaded another driver.
    """
    wanted = machine.environ(visible=machine.visible, device_order=machine.device_order)
    changed = [name for name in {*wanted, *os.environ} if wanted.get(name) != os.environ.get(name)]
    # The mask even where the machine changes nothing of it: markers and gpu_visibility.set() do.
    with _environment_restored(MASK, ORDER, *changed), ExitStack() as stack:
        machine.simulated.attach()
        stack.callback(machine.simulated.detach)
        restore(os.environ, {name: wanted.get(name) for name in changed})
        given = resolve(machine.visible, machine.inventory, device_order=machine.device_order)
        machine.own_process = process
        yield TestPlace(machine.inventory, "simulated", given, test, process, machine)


def carried_over(session: GpuSession) -> str | None:
    """The mask that shows on a copy of the session's machine, in PCI order, what is visible in the session."""
    seen = session.visibility
    if seen.requested is None:
        return None
    everything = resolve(None, session.inventory, device_order="PCI_BUS_ID")
    return narrow(everything, [everything.devices.index(device) for device in seen.devices])


def apply(asked: MarkerRequest, place: TestPlace) -> None:
    """Narrow the place as the test's markers say, or skip the test.

    :raises UserError: they ask for a device that is not there or not permitted, or CUDA has shown others before.
    """
    if asked.no_gpu:
        os.environ[MASK] = ""
    elif asked.visibility is not None:
        os.environ[MASK] = narrowed(asked.visibility, place.given, place.inventory, place.kind)
    place.given = resolve(os.environ.get(MASK), place.inventory, device_order=os.environ.get(ORDER))
    there = len(place.given.devices)
    if asked.count is not None and there < asked.count:
        mask = os.environ.get(MASK)
        pytest.skip(
            f"gpu_count: {asked.count} {'GPU is' if asked.count == 1 else 'GPUs are'} needed,"
            f" {there} {'is' if there == 1 else 'are'} visible"
            f" ({describe_mask(mask)}; inventory {place.inventory.name}, {place.kind})"
        )
    place.follow()


@contextmanager
def _environment_restored(*names: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        restore(os.environ, before)
