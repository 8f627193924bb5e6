"""Which GPU did each process really touch, and was it allowed to?"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import UserError
    from .inventory import Device, Inventory, MigDevice
    from .masks import Visibility, narrow, resolve

__all__ = ["Device", "Inventory", "MigDevice", "UserError", "Visibility", "narrow", "resolve"]

_HOME = {
    "UserError": ".errors",
    "Device": ".inventory",
    "Inventory": ".inventory",
    "MigDevice": ".inventory",
    "Visibility": ".masks",
    "narrow": ".masks",
    "resolve": ".masks",
}


def __getattr__(name: str) -> Any:
    # Every pytest run of an environment imports this package for its plugin; most never ask about a GPU.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name], __name__), name)
