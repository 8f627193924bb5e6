"""Fixtures of the suite; options and markers live in the plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_gpuvisibility.inventory.model import Inventory
from pytest_gpuvisibility.suite.driver_subject import DriverSubject
from pytest_gpuvisibility.suite.server_subject import ServerSubject
from pytest_gpuvisibility.suite.trial import Trial, family_of, trial_of
from pytest_gpuvisibility.suite.verdicts import NotApplicable

from . import RULE_MODULES
from .interview import Interview
from .launch import Gpus, Launch, Shipped

HERE = Path(__file__).parent
STAND_INS: Mapping[str, Callable[[Inventory], bool]] = {
    "mixed4": lambda machine: len(machine.devices) >= 4 and machine.fastest_first[0] != machine.in_pci_order[0],
    "exclusive4": lambda machine: all(device.compute_mode == "exclusive-process" for device in machine.devices),
}
"""Whether a real machine will do instead of the shipped inventory."""


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Rule modules are named after their family, not ``test_*``; only those that apply to the subject are collected."""
    if file_path.parent != HERE or file_path.stem not in RULE_MODULES[family_of(parent.config)]:
        return None
    module: pytest.Module = pytest.Module.from_parent(parent, path=file_path)
    return module


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Trial:
    """What is judged, and how strictly."""
    return trial_of(request.config)


@pytest.fixture
def server(trial: Trial) -> ServerSubject:
    """The server under test, and where its launches are kept."""
    if not isinstance(trial.subject, ServerSubject):
        raise TypeError(f"{trial.name} is no server")
    return trial.subject


@pytest.fixture
def gpus(server: ServerSubject) -> Gpus:
    """The devices of the inventory at hand."""
    return Gpus(server.machine(server.inventory), server.inventory)


@pytest.fixture
def shipped(server: ServerSubject) -> Shipped:
    """A shipped inventory, for rules that need unequal or few devices."""

    def choose(name: str) -> Gpus:
        if server.hardware is not None:
            if name in STAND_INS and STAND_INS[name](server.hardware):
                return Gpus(server.hardware, server.inventory)
            raise NotApplicable(f"needs a machine like the inventory {name}; this run is on the machine's own GPUs")
        if server.inventory_is_chosen and server.inventory != name:
            raise NotApplicable(
                f"needs the inventory {name}; this run is tied to {server.inventory} by --gpu-inventory"
            )
        return Gpus(Inventory.load(name), name)

    return choose


@pytest.fixture
def launch(trial: Trial, server: ServerSubject, request: pytest.FixtureRequest) -> Launch:
    """Launch the server under test in a scenario, once a session."""
    launching = Launch(server.theatre, server.inventory)
    trial.note(request.node, launching.played)
    return launching


@pytest.fixture
def interview(trial: Trial, request: pytest.FixtureRequest) -> Interview:
    """Ask the driver under test what it shows under a mask."""
    if not isinstance(trial.subject, DriverSubject):
        raise TypeError(f"{trial.name} is no driver")
    asking = Interview(trial.subject)
    trial.note(request.node, asking.asked, asking.facts)
    return asking
