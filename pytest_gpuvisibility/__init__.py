"""Which GPU did each process really touch, and was it allowed to?

PYTEST_DONT_REWRITE: there is no assert here, and pytest would warn of it in each isolated test, whose process has
imported this package already.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import UserError
    from .inventory import Device, Inventory, MigDevice
    from .masks import Visibility, narrow, resolve
    from .plugin.fixtures import GpuLease, GpuVisibility
    from .plugin.gpu_machine import GpuMachine
    from .plugin.gpu_run import GpuCall, GpuRun
    from .plugin.gpu_server import GpuServer

__all__ = [
    "Device", "GpuCall", "GpuLease", "GpuMachine", "GpuRun", "GpuServer", "GpuVisibility", "Inventory", "MigDevice",
    "ProgramFailed", "UserError", "Visibility", "narrow", "resolve",
]  # fmt: skip

_HOME = {
    "UserError": ".errors",
    "Device": ".inventory",
    "Inventory": ".inventory",
    "MigDevice": ".inventory",
    "Visibility": ".masks",
    "narrow": ".masks",
    "resolve": ".masks",
    "GpuLease": ".plugin.fixtures",
    "GpuVisibility": ".plugin.fixtures",
    "GpuMachine": ".plugin.gpu_machine",
    "GpuCall": ".plugin.gpu_run",
    "GpuRun": ".plugin.gpu_run",
    "ProgramFailed": ".plugin.gpu_run",
    "GpuServer": ".plugin.gpu_server",
}


def __getattr__(name: str) -> Any:
    # Every pytest run of an environment imports this package for its plugin; most never ask about a GPU.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name], __name__), name)
