"""The suite as pytest runs it: which modules hold rules, and what their functions take."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gpuvisibility.plugin import suite_hooks
from pytest_gpuvisibility.suite import ServerSubject, rule_of

from . import RULE_MODULES
from .arguments import Arguments
from .launch import Gpus, Launch, Shipped
from .mask_queries import MaskQueries

HERE = Path(__file__).parent


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Rule modules are named after their family, not ``test_*``; only those that apply to the subject are collected."""
    if file_path.parent != HERE or file_path.stem not in RULE_MODULES[suite_hooks.family_of(parent.config)]:
        return None
    module: pytest.Module = pytest.Module.from_parent(parent, path=file_path)
    return module


@pytest.fixture
def _arguments(request: pytest.FixtureRequest) -> Arguments:
    rule = rule_of(request.function)
    assert rule is not None, f"{request.function.__name__} takes what rules take, and is none"
    return Arguments(suite_hooks.trial_of(request.config), rule)


@pytest.fixture
def server(_arguments: Arguments) -> ServerSubject:
    """As :attr:`Arguments.server`."""
    return _arguments.server


@pytest.fixture
def gpus(_arguments: Arguments) -> Gpus:
    """As :attr:`Arguments.gpus`."""
    return _arguments.gpus


@pytest.fixture
def shipped(_arguments: Arguments) -> Shipped:
    """As :attr:`Arguments.shipped`."""
    return _arguments.shipped


@pytest.fixture
def launch(_arguments: Arguments, request: pytest.FixtureRequest) -> Launch:
    """As :attr:`Arguments.launch`."""
    launch = _arguments.launch
    suite_hooks.rests_on(request.node, _arguments.basis)
    return launch


@pytest.fixture
def mask_queries(_arguments: Arguments, request: pytest.FixtureRequest) -> MaskQueries:
    """As :attr:`Arguments.mask_queries`."""
    queries = _arguments.mask_queries
    suite_hooks.rests_on(request.node, _arguments.basis)
    return queries
