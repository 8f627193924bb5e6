"""Fixtures of the suite; options and markers live in the plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.judging import Trial, trial_of
from pytest_gpuvisibility.verdicts import NotApplicable

from . import RULE_MODULES
from .launch import Gpus, Launch, Shipped

HERE = Path(__file__).parent


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Rule modules are named after their family, not ``test_*``."""
    if file_path.parent != HERE or file_path.stem not in RULE_MODULES:
        return None
    module: pytest.Module = pytest.Module.from_parent(parent, path=file_path)
    return module


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Trial:
    """The server under test, and where its launches are kept."""
    return trial_of(request.config)


@pytest.fixture
def gpus(trial: Trial) -> Gpus:
    """The devices of the inventory at hand."""
    return Gpus(Inventory.load(trial.inventory), trial.inventory)


@pytest.fixture
def shipped(trial: Trial) -> Shipped:
    """A shipped inventory, for rules that need unequal or few devices."""

    def choose(name: str) -> Gpus:
        if trial.inventory_is_chosen and trial.inventory != name:
            raise NotApplicable(f"needs the inventory {name}; this run is tied to {trial.inventory} by --gpu-inventory")
        return Gpus(Inventory.load(name), name)

    return choose


@pytest.fixture
def launch(trial: Trial, request: pytest.FixtureRequest) -> Launch:
    """Launch the server under test in a scenario, once a session."""
    launching = Launch(trial.theatre, trial.inventory)
    trial.note_launches(request.node, launching.played)
    return launching
