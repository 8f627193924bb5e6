"""Ask the hooks of ``specs``, and check what they answer.

What only servers and leases need is imported where it is used: every run with a mask asks for its inventory here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from ..errors import UserError
from ..inventory import Inventory

if TYPE_CHECKING:
    from ..inventory import AnyDevice, RealMachine
    from ..lease import Claim
    from ..profile import Profile
    from ..simulator import Machine
    from ..witness import Witness

WITNESS_METHODS = ("accounts", "touching", "unknown_processes")


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


def profile_finder(config: pytest.Config) -> Callable[[str], Profile]:
    """What finds the profile for ``--gpu-server=name``: a third party's, a shipped one, or a TOML file.

    It raises UserError where there is none, it is malformed, or a hook answers something else.
    """
    from ..profile import Profile, load

    hook = "pytest_gpu_server"

    def find(name: str) -> Profile:
        found: object = config.hook.pytest_gpu_server(name=name)
        if found is None or isinstance(found, Profile):
            return found or load(name)
        if not isinstance(found, (str, os.PathLike)):
            raise _wrong(config, hook, f"name={name!r}", found, "a Profile, the path of one, or None")
        if not Path(found).is_file():
            raise UserError(
                f"The hook {hook} answered {os.fspath(found)!r} for name={name!r}, but there is no such file"
                f" (implemented by {_implementers(config, hook)}). Return a Profile, the path of one, or None."
            )
        return load(Path(found))

    return find


def claim(config: pytest.Config, item: pytest.Item, devices: Sequence[AnyDevice]) -> Claim | None:
    """What a third party lets a test have of the permitted ``devices`` under ``--gpu-lease=test``; None: as usual.

    :raises UserError: a hook answers something else, claims a device that is not permitted, or more than it names.
    """
    from ..lease import Claim

    hook = "pytest_gpu_lease"
    found: object = config.hook.pytest_gpu_lease(item=item, devices=tuple(devices))
    if found is None:
        return None
    if not isinstance(found, Claim):
        raise _wrong(config, hook, item.nodeid, found, "a Claim (of pytest_gpuvisibility.lease) or None")
    among = found.among if found.among is not None else tuple(devices)
    strange = [device for device in among if device not in devices]
    if strange:
        allowed = f"some of the devices that it was given: {', '.join(device.uuid for device in devices) or 'none'}"
        raise _wrong(config, hook, item.nodeid, strange[0], allowed)
    if type(found.count) is not int or not 0 <= found.count <= len(among):
        raise _wrong(config, hook, item.nodeid, found.count, f"a count from 0 to {len(among)}, the devices it names")
    return found


def witness(config: pytest.Config, machine: Machine | RealMachine) -> Witness:
    """The witness of a launch on ``machine``: a third party's, or the usual one.

    :raises UserError: a hook answers with something that is no witness.
    """
    from ..witness import CheckedWitness, usual_witness

    found: object = config.hook.pytest_gpu_witness(machine=machine)
    if found is None:
        return usual_witness(machine)
    if not all(callable(getattr(found, name, None)) for name in WITNESS_METHODS):
        allowed = f"something with the methods {', '.join(WITNESS_METHODS)}, or None"
        raise _wrong(config, "pytest_gpu_witness", f"machine={machine.inventory.name}", found, allowed)
    return CheckedWitness(cast("Witness", found), f"implemented by {_implementers(config, 'pytest_gpu_witness')}")


def _wrong(config: pytest.Config, hook: str, asked: str, found: object, allowed: str) -> UserError:
    return UserError(
        f"The hook {hook} answered {found!r} ({type(found).__name__}) for {asked}; it must return {allowed}"
        f" (implemented by {_implementers(config, hook)})."
    )


def _implementers(config: pytest.Config, hook: str) -> str:
    plugins = [impl.plugin for impl in getattr(config.hook, hook).get_hookimpls()]
    return ", ".join(str(getattr(plugin, "__file__", None) or type(plugin).__name__) for plugin in plugins)
