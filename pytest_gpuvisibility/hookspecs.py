"""Hooks that conftest files and other plugins may implement.

All of them take the first answer that is not None. An answer of the wrong kind is a usage error that names the hook.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .inventory import Inventory
    from .simulator.machine import Machine
    from .witness import Witness


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
def pytest_gpu_server(name: str) -> str | Path | None:
    """Supply the profile, a TOML file, of the server called ``name``, asked for by ``--gpu-server``.

    Return None for names that are not yours. Yours win over the shipped ones and over files.

    Example::

        def pytest_gpu_server(name):
            if name == "our-server":
                return Path(__file__).with_name("our_server.toml")
    """


@pytest.hookspec(firstresult=True)
def pytest_gpu_witness(machine: Machine) -> Witness | None:
    """Supply the witness that says which process of a server touched which device of ``machine``.

    Asked once for each launch of a server on trial. A witness has the methods ``accounts``, ``touchers`` and
    ``strangers`` of ``pytest_gpuvisibility.witness.Witness``; without one, the simulated driver's ledger is believed.

    Example::

        class Doubting:
            def __init__(self, machine):
                self.ledger = LedgerWitness(machine)

            def accounts(self, suspects):
                return {pid: cross_checked(account) for pid, account in self.ledger.accounts(suspects).items()}

            def touchers(self, suspects):
                return self.ledger.touchers(suspects)

            def strangers(self, known):
                return self.ledger.strangers(known)

        def pytest_gpu_witness(machine):
            return Doubting(machine)
    """
