"""Ask the hooks of ``hookspecs``, and check what they answer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .errors import UserError
from .inventory import Inventory

if TYPE_CHECKING:
    from .simulator.machine import Machine
    from .witness import Witness

WITNESS_METHODS = ("accounts", "strangers")


def inventory_finder(config: pytest.Config) -> Callable[[str], Inventory]:
    """What finds an inventory by its name for this session: a third party's, a shipped one, or a TOML file.

    It raises UserError where there is none, or a hook answers something else.
    """

    def find(name: str) -> Inventory:
        found: object = config.hook.pytest_gpu_inventory(name=name)
        if found is None:
            return Inventory.load(name)
        if not isinstance(found, Inventory):
            raise _wrong(config, "pytest_gpu_inventory", f"name={name!r}", found, "an Inventory or None")
        return found

    return find


def server(config: pytest.Config, name: str) -> str:
    """The name or the path of the profile for ``--gpu-server=name``.

    :raises UserError: a hook answers something else, or a file that does not exist.
    """
    found: object = config.hook.pytest_gpu_server(name=name)
    if found is None:
        return name
    if not isinstance(found, (str, os.PathLike)):
        raise _wrong(config, "pytest_gpu_server", f"name={name!r}", found, "the path of a profile, or None")
    if not Path(found).is_file():
        raise UserError(
            f"The hook pytest_gpu_server answered {os.fspath(found)!r} for name={name!r}, but there is no such file"
            f" (implemented by {_implementers(config, 'pytest_gpu_server')}). Return the path of a profile, or None."
        )
    return os.fspath(found)


def witness(config: pytest.Config, machine: Machine) -> Witness:
    """The witness of a launch on ``machine``: a third party's, or the simulated driver's ledger.

    :raises UserError: a hook answers with something that is no witness.
    """
    from .witness import LedgerWitness

    found: object = config.hook.pytest_gpu_witness(machine=machine)
    if found is None:
        return LedgerWitness(machine)
    if not all(callable(getattr(found, name, None)) for name in WITNESS_METHODS):
        methods = " and ".join(WITNESS_METHODS)
        allowed = f"something with {methods}, or None"
        raise _wrong(config, "pytest_gpu_witness", f"machine={machine.directory}", found, allowed)
    return found  # type: ignore[return-value]


def _wrong(config: pytest.Config, hook: str, asked: str, found: object, allowed: str) -> UserError:
    return UserError(
        f"The hook {hook} answered {found!r} ({type(found).__name__}) for {asked}; it must return {allowed}"
        f" (implemented by {_implementers(config, hook)})."
    )


def _implementers(config: pytest.Config, hook: str) -> str:
    caller = getattr(config.hook, hook)
    return ", ".join(str(getattr(impl.plugin, "__name__", impl.plugin_name)) for impl in caller.get_hookimpls())
