"""Hooks that conftest files and other plugins may implement.

All of them take the first answer that is not None. An answer of the wrong kind is a usage error that names the hook and
who implements it. docs/plugin-authors.md has a whole example of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..inventory import AnyDevice, Inventory, RealMachine
    from ..lease import Claim
    from ..profile import Profile
    from ..simulator import Machine
    from ..witness import Witness


@pytest.hookspec(firstresult=True)
def pytest_gpu_inventory(name: str) -> Inventory | None:
    """Supply the inventory called ``name``, asked for by ``--gpu-inventory`` or the marker ``gpu_inventory``.

    Return None for names that are not yours. Yours win over the shipped ones and over files.

    ``--gpu-inventory`` is applied before any conftest is imported, so for that option the hook must be in a plugin
    (installed, or given with ``-p``); for the marker a conftest will do.

    Example::

        def pytest_gpu_inventory(name):
            if name == "our-lab":
                return Inventory.load(Path(__file__).with_name("our_lab.toml"))
    """


@pytest.hookspec(firstresult=True)
def pytest_gpu_server(name: str) -> Profile | str | Path | None:
    """Supply the profile, or the path of its TOML file, of the server called ``name``, asked for by ``--gpu-server``.

    Return None for names that are not yours. Yours win over the shipped ones and over files. Asked in each process of
    the session, those of pytest-xdist's workers too; the answer must be the same.

    Example::

        def pytest_gpu_server(name):
            if name == "our-server":
                return Path(__file__).with_name("our_server.toml")
    """


@pytest.hookspec(firstresult=True)
def pytest_gpu_lease(item: pytest.Item, devices: Sequence[AnyDevice]) -> Claim | None:
    """Say how many of the permitted ``devices``, and which of them, a test may have under ``--gpu-lease=test``.

    Return None to leave it to the marker ``gpu_count``, or one. ``Claim(count, among)`` waits until ``count`` devices
    of ``among`` (None: of all) are free; ``Claim(0)`` gives the test none. Asked once for each test, after collection,
    but for tests that are on a simulated machine of their own or marked ``no_gpu``.

    Example::

        def pytest_gpu_lease(item, devices):
            marker = item.get_closest_marker("gpu_memory")
            if marker is not None:
                large = tuple(device for device in devices if device.memory >= marker.args[0] << 30)
                return Claim(1, among=large) if large else Claim(0)
    """


@pytest.hookspec(firstresult=True)
def pytest_gpu_witness(machine: Machine | RealMachine) -> Witness | None:
    """Supply the witness that says which process of a server touched which device of ``machine``.

    Asked once for each launch of a server on trial. A witness has the methods ``accounts``, ``touching`` and
    ``unknown_processes`` of ``pytest_gpuvisibility.witness.Witness``, and ``look`` and ``close`` if it likes; without
    one, the simulated driver's ledger is believed, and under ``--gpu-inventory=real``, where ``machine`` is a
    ``pytest_gpuvisibility.inventory.RealMachine``, NVML's process lists.

    Example::

        class Doubting(LedgerWitness):
            def accounts(self, suspects):
                return {pid: cross_checked(account) for pid, account in super().accounts(suspects).items()}

        def pytest_gpu_witness(machine):
            return Doubting(machine)
    """
