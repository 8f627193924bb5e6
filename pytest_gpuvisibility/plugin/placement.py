"""Where one test runs: on the session's machine or on one of its own, under its own mask; undone when it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from ..environment import MASK, ORDER, OUTER, restore
from ..inventory import AnyDevice, Inventory
from ..masks import Visibility, narrow, resolve
from ..simulator import DriverAlreadyLoaded
from .gpu_session import narrowed
from .markers import MarkerRequest
from .options import Setting

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

        :raises UserError: it asks for a device that is not there or not permitted.
        """
        os.environ[MASK] = narrowed(setting, self.given, self.inventory, self.kind)


@contextmanager
def in_session(session: GpuSession, mask: str | None) -> Iterator[TestPlace]:
    """The session's own machine, for one test. ``mask``: one of several that the session runs under."""
    with _environment_restored(MASK):
        given = session.visibility
        if mask is not None:
            os.environ[MASK] = mask
            given = resolve(mask, session.inventory, device_order=os.environ.get(ORDER))
        yield TestPlace(session.inventory, session.kind, given)


@contextmanager
def on_machine(machine: GpuMachine) -> Iterator[TestPlace]:
    """A machine of the test's own; programs that it starts find it, and so does its own process.

    A process that has loaded another driver before keeps it.
    """
    wanted = machine.environ(visible=machine.visible, device_order=machine.device_order)
    changed = [name for name in {*wanted, *os.environ} if wanted.get(name) != os.environ.get(name)]
    with _environment_restored(*changed), ExitStack() as stack:
        with suppress(DriverAlreadyLoaded):
            machine.simulated.attach()
            stack.callback(machine.simulated.detach)
        restore(os.environ, {name: wanted.get(name) for name in changed})
        given = resolve(machine.visible, machine.inventory, device_order=machine.device_order)
        yield TestPlace(machine.inventory, "simulated", given, machine)


def carried_over(session: GpuSession) -> str | None:
    """The mask that shows on a copy of the session's machine, in PCI order, what is visible in the session."""
    if MASK not in os.environ:
        return None
    everything = resolve(None, session.inventory, device_order="PCI_BUS_ID")
    seen = resolve(os.environ[MASK], session.inventory, device_order=os.environ.get(ORDER))
    return narrow(everything, [everything.devices.index(device) for device in seen.devices])


def apply(asked: MarkerRequest, place: TestPlace) -> None:
    """Narrow the place as the test's markers say, or skip the test.

    :raises UserError: they ask for a device that is not there or not permitted.
    """
    if asked.no_gpu:
        os.environ[MASK] = ""
    elif asked.visibility is not None:
        place.mask(asked.visibility)
    place.given = resolve(os.environ.get(MASK), place.inventory, device_order=os.environ.get(ORDER))
    there = len(place.given.devices)
    if asked.count is not None and there < asked.count:
        mask = os.environ.get(MASK)
        shown = "CUDA_VISIBLE_DEVICES not set" if mask is None else f"CUDA_VISIBLE_DEVICES={mask}"
        pytest.skip(
            f"gpu_count: {asked.count} {'GPU is' if asked.count == 1 else 'GPUs are'} needed,"
            f" {there} {'is' if there == 1 else 'are'} visible"
            f" ({shown}; inventory {place.inventory.name}, {place.kind})"
        )


@contextmanager
def _environment_restored(*names: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        restore(os.environ, before)
