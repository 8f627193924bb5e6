"""A mask as people like to give it, and as the variable has it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from ..errors import UserError
from ..inventory import AnyDevice, Device, MigDevice

OneMask: TypeAlias = str | int | AnyDevice
Mask: TypeAlias = OneMask | Iterable[OneMask]
"""The text of a mask; a number or a device; several of those."""


def written(mask: Mask) -> str:
    """The text that CUDA_VISIBLE_DEVICES has for it: devices by their UUIDs, several with commas between.

    Text is left as it is.

    :raises UserError: it is something else.
    """
    if isinstance(mask, Iterable) and not isinstance(mask, (str, bytes)):
        return ",".join(map(_one, mask))
    return _one(mask)


def _one(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (Device, MigDevice)):
        return value.uuid
    if type(value) is int:
        return str(value)
    raise UserError(
        f"{value!r} ({type(value).__name__}) is no mask, nor part of one. Give text such as '0,2', a whole number, a"
        " device of the inventory, or a list of those."
    )
