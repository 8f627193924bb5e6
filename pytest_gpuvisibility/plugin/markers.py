"""What a test asks for with markers, read and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from ..errors import UserError

if TYPE_CHECKING:
    from .session import Setting

_PARAMETER = {"gpu_visibility": "devices", "gpu_inventory": "name", "gpu_count": "n"}
_EXAMPLE = {
    "gpu_visibility": '@pytest.mark.gpu_visibility("0,2")',
    "gpu_inventory": '@pytest.mark.gpu_inventory("mixed4")',
    "gpu_count": "@pytest.mark.gpu_count(2)",
    "no_gpu": "@pytest.mark.no_gpu",
}
_ALLOWED = {
    "gpu_visibility": "text, as for --gpu-visibility: ordinals, UUIDs, all or none",
    "gpu_inventory": "the name of an inventory or the path of a TOML file, as text",
    "gpu_count": "a whole number, 1 or more",
}


@dataclass(frozen=True)
class Wishes:
    """What one test's markers say; the closest of each name counts."""

    visibility: Setting | None = None
    inventory: str | None = None
    count: int | None = None
    no_gpu: bool = False


def wishes_of(item: pytest.Item) -> Wishes:
    """:raises UserError: an argument is unknown, missing or of a wrong type, or markers contradict each other."""
    from .session import Setting

    visibility = _argument(item, "gpu_visibility", _is_text)
    inventory = _argument(item, "gpu_inventory", lambda value: _is_text(value) and bool(value))
    count = _argument(item, "gpu_count", lambda value: type(value) is int and value >= 1)
    no_gpu = _no_gpu(item)
    for name, value in (("gpu_visibility", visibility), ("gpu_count", count)):
        if no_gpu and value is not None:
            raise UserError(
                f"{item.nodeid}: no_gpu hides every GPU, {name}({value!r}) asks for some. Leave one of them out."
            )
    setting = None if visibility is None else Setting(str(visibility), f"the marker gpu_visibility of {item.nodeid}")
    return Wishes(setting, inventory, count, no_gpu)  # type: ignore[arg-type]


def closest_inventory(node: pytest.Item | pytest.Collector) -> str | None:
    """The inventory that a class, a module or a test asks for.

    :raises UserError: the marker is malformed.
    """
    found = _argument(node, "gpu_inventory", lambda value: _is_text(value) and bool(value))
    return None if found is None else str(found)


def _argument(node: pytest.Item | pytest.Collector, name: str, is_allowed: Callable[[object], bool]) -> object | None:
    marker = node.get_closest_marker(name)
    if marker is None:
        return None
    parameter = _PARAMETER[name]
    values: list[object] = [*marker.args, *(value for key, value in marker.kwargs.items() if key == parameter)]
    unknown = sorted(marker.kwargs.keys() - {parameter})
    if unknown or len(values) != 1:
        what = f"no argument {', '.join(unknown)}" if unknown else f"one argument, {parameter}, and has {len(values)}"
        raise UserError(f"{node.nodeid}: {_written(marker)} is malformed; it takes {what}. Write {_EXAMPLE[name]}.")
    [value] = values
    if not is_allowed(value):
        raise UserError(
            f"{node.nodeid}: {_written(marker)} is malformed; {parameter} is {_ALLOWED[name]}. Write {_EXAMPLE[name]}."
        )
    return value


def _no_gpu(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("no_gpu")
    if marker is not None and (marker.args or marker.kwargs):
        raise UserError(
            f"{item.nodeid}: {_written(marker)} is malformed; it takes no argument. Write {_EXAMPLE['no_gpu']}."
        )
    return marker is not None


def _written(marker: pytest.Mark) -> str:
    words = [*map(repr, marker.args), *(f"{key}={value!r}" for key, value in marker.kwargs.items())]
    return f"{marker.name}({', '.join(words)})"


def _is_text(value: object) -> bool:
    return isinstance(value, str)
