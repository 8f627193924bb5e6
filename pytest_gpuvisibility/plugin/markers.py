"""The markers: what each is, and what a test asks for with them, read and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ..errors import UserError
from .options import Setting


def _is_mask(value: object) -> bool:
    from ..masks import written

    try:
        return written(value) is not None  # type: ignore[arg-type]
    except UserError:
        return False


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1


@dataclass(frozen=True)
class Marker:
    """One marker. ``parameter``: of its one argument, and which values that may have; empty where it takes none."""

    name: str
    help: str
    example: str
    parameter: str = ""
    is_allowed: Callable[[object], bool] = bool
    allowed: str = ""

    @property
    def description(self) -> str:
        """The line of ``pytest --markers``."""
        return f"{self.name}{f'({self.parameter})' if self.parameter else ''}: {self.help}"


VISIBILITY = Marker(
    "gpu_visibility",
    "run the test under this mask, within the run's own: ordinals, UUIDs, all, none",
    '@pytest.mark.gpu_visibility("0,2")',
    "devices",
    _is_mask,
    "text, as for --gpu-visibility: ordinals, UUIDs, all or none; a number, or a list of numbers",
)
INVENTORY = Marker(
    "gpu_inventory",
    "run the test on that simulated machine: a shipped name or a TOML file",
    '@pytest.mark.gpu_inventory("mixed4")',
    "name",
    _is_name,
    "the name of an inventory or the path of a TOML file, as text",
)
COUNT = Marker(
    "gpu_count",
    "skip the test where fewer than n GPUs are visible to it",
    "@pytest.mark.gpu_count(2)",
    "n",
    _is_count,
    "a whole number, 1 or more",
)
NO_GPU = Marker("no_gpu", "hide every GPU from the test", "@pytest.mark.no_gpu")
ISOLATED = Marker(
    "gpu_isolated",
    "run the test in a process of its own, in which nothing of CUDA was loaded before",
    "@pytest.mark.gpu_isolated",
)
MARKERS = (VISIBILITY, INVENTORY, COUNT, NO_GPU, ISOLATED)
NAMES = frozenset(marker.name for marker in MARKERS if marker is not ISOLATED)
"""Of those that say which GPUs a test has."""
ALL_NAMES = frozenset(marker.name for marker in MARKERS)


@dataclass(frozen=True)
class MarkerRequest:
    """What one test's markers say; the closest of each name counts."""

    visibility: Setting | None = None
    inventory: str | None = None
    count: int | None = None
    no_gpu: bool = False


def marker_request(item: pytest.Item) -> MarkerRequest:
    """:raises UserError: an argument is unknown, missing or of a wrong type, or markers contradict each other."""
    visibility, inventory, count = (_argument(item, marker) for marker in (VISIBILITY, INVENTORY, COUNT))
    no_gpu = _is_marked(item, NO_GPU)
    _is_marked(item, ISOLATED)
    for name, value in ((VISIBILITY.name, visibility), (COUNT.name, count)):
        if no_gpu and value is not None:
            raise UserError(
                f"{item.nodeid}: no_gpu hides every GPU, {name}({value!r}) asks for some. Leave one of them out."
            )
    setting = None
    if visibility is not None:
        from ..masks import written

        mask = written(visibility)  # type: ignore[arg-type]
        setting = Setting(mask, f"the marker gpu_visibility of {item.nodeid}")
    return MarkerRequest(setting, inventory, count, no_gpu)  # type: ignore[arg-type]


def closest_inventory(node: pytest.Item | pytest.Collector) -> str | None:
    """The inventory that a class, a module or a test asks for.

    :raises UserError: the marker is malformed.
    """
    found = _argument(node, INVENTORY)
    return None if found is None else str(found)


def _argument(node: pytest.Item | pytest.Collector, marker: Marker) -> object | None:
    mark = node.get_closest_marker(marker.name)
    if mark is None:
        return None
    values: list[object] = [*mark.args, *(value for key, value in mark.kwargs.items() if key == marker.parameter)]
    unknown = sorted(mark.kwargs.keys() - {marker.parameter})
    if unknown or len(values) != 1:
        one = f"one argument, {marker.parameter}, and has {len(values)}"
        raise _malformed(node, mark, marker, f"it takes {'no argument ' + ', '.join(unknown) if unknown else one}")
    if not marker.is_allowed(values[0]):
        raise _malformed(node, mark, marker, f"{marker.parameter} is {marker.allowed}")
    return values[0]


def _is_marked(item: pytest.Item, marker: Marker) -> bool:
    mark = item.get_closest_marker(marker.name)
    if mark is not None and (mark.args or mark.kwargs):
        raise _malformed(item, mark, marker, "it takes no argument")
    return mark is not None


def _malformed(node: pytest.Item | pytest.Collector, mark: pytest.Mark, marker: Marker, what: str) -> UserError:
    words = [*map(repr, mark.args), *(f"{key}={value!r}" for key, value in mark.kwargs.items())]
    return UserError(f"{node.nodeid}: {mark.name}({', '.join(words)}) is malformed; {what}. Write {marker.example}.")
