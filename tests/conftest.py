from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.simulator import Machine

pytest_plugins = ["pytester", "cuda_programs", "cuda_runtimes"]

OURS = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "GPU_VISIBILITY_MACHINE", "PYTEST_GPU_VISIBILITY_OUTER")


@pytest.fixture(autouse=True, scope="session")
def away_from_the_source_tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Python puts the current directory first on its path: the source tree there would hide an installed package."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("current-directory"))
    yield
    os.chdir(before)


@pytest.fixture(autouse=True)
def no_inherited_gpu_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the person who runs these tests has set must not decide their outcome."""
    for name in [*OURS, *(name for name in os.environ if name.startswith("PYTEST_XDIST"))]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def warnings_are_errors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the pytest runs that tests start: a user with such a setting must be able to use the plugin."""
    if "pytester" in request.fixturenames:
        request.getfixturevalue("pytester")  # which clears PYTEST_ADDOPTS
    options = ["-Werror"]
    if any(name.startswith("_editable_skbc_") for name in sys.modules):
        # pytest wants to rewrite such an install's own finder, which is imported already; a user's install has none.
        editable = "ignore:Module already imported so cannot be rewritten; _editable:pytest.PytestAssertRewriteWarning"
        options.append(f"-W '{editable}'")
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(options))


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A simulated machine: four equal GPUs, or what :func:`simulated_programs.on` says."""
    with Machine.create(Inventory.load(getattr(request, "param", "a100x4"))) as machine:
        yield machine
