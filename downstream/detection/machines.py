"""The simulated machines on which each project's detection is tried, one test after the other in one process."""

from __future__ import annotations

import pytest

from pytest_gpuvisibility.inventory import AnyDevice

NAMES = ("a100x2", "mixed4", "h100x8", "container", "mig")
on_each_machine = pytest.mark.parametrize(
    "machine",
    # There and back again: whoever remembers the first machine is found out on the others, and the other way round.
    [pytest.param(name, marks=pytest.mark.gpu_inventory(name)) for name in (*NAMES, *reversed(NAMES))],
)


def uuids(devices: tuple[AnyDevice, ...]) -> list[str]:
    return [device.uuid for device in devices]
