"""Fixtures for tests of device-selection code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .inventory import Device, Inventory, MigDevice
    from .selection import Selection

SELECTION = pytest.StashKey["Selection"]()


@dataclass
class GpuVisibility:
    """What is visible to the test and to the programs it starts."""

    _selection: Selection

    @property
    def devices(self) -> tuple[Device | MigDevice, ...]:
        """The visible devices in CUDA's order."""
        from .resolver import resolve

        selection = self._selection
        order = os.environ.get("CUDA_DEVICE_ORDER")
        return resolve(os.environ.get("CUDA_VISIBLE_DEVICES"), selection.inventory, device_order=order).devices

    @property
    def environ(self) -> dict[str, str]:
        """A copy of the environment, for a child that is to see the same."""
        return self._selection.environ()

    def set(self, devices: str) -> None:
        """Narrow further, until the test ends: ordinals within what the run was given, UUIDs, ``all`` or ``none``.

        :raises pytest.UsageError: a device that is not there or not permitted.
        """
        from .errors import UserError
        from .selection import MASK, Setting

        try:
            os.environ[MASK] = self._selection.narrow(Setting(devices, "gpu_visibility.set")).value
        except UserError as error:
            raise pytest.UsageError(str(error)) from None


def active_selection(config: pytest.Config) -> Selection:
    """The session's selection; made now, for the default machine, where no option asked for one."""
    if SELECTION not in config.stash:
        from .errors import UserError
        from .selection import select

        try:
            config.stash[SELECTION] = selection = select(None, None)
        except UserError as error:
            raise pytest.UsageError(str(error)) from None
        config.add_cleanup(selection.undo)
    return config.stash[SELECTION]


@pytest.fixture(scope="session")
def gpu_inventory(pytestconfig: pytest.Config) -> Inventory:
    """The GPUs of the machine that the tests run on, simulated or real, whatever the mask hides.

    Example::

        def test_every_gpu_is_listed(gpu_inventory):
            assert my_tool.list_gpus() == [device.uuid for device in gpu_inventory.devices]
    """
    return active_selection(pytestconfig).inventory


@pytest.fixture
def gpu_visibility(pytestconfig: pytest.Config) -> Iterator[GpuVisibility]:
    """The devices visible to the test; ``.environ`` for a child, ``.set()`` to narrow further.

    Example::

        def test_the_second_gpu_alone(gpu_visibility):
            gpu_visibility.set("1")
            output = subprocess.check_output(["my-tool"], env=gpu_visibility.environ)
            assert gpu_visibility.devices[0].uuid in output.decode()
    """
    selection = active_selection(pytestconfig)
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    yield GpuVisibility(selection)
    if before is None:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = before
