"""The table of rules: its examples hold, its rows hang together, and the page made from it is current."""

from __future__ import annotations

import pytest
from places import DOCS

from pytest_gpuvisibility import Inventory, Visibility, resolve
from pytest_gpuvisibility.inventory import Device
from pytest_gpuvisibility.masks import BY_ROW, SOURCES, explain
from pytest_gpuvisibility.masks.reader import Units
from pytest_gpuvisibility.masks.rules import REASONS, RULES, Example

PAGE = DOCS / "cuda-visible-devices.md"
EXAMPLES = [(rule.row, example) for rule in RULES for example in rule.examples]
SAID_WITHOUT_A_MASK = {"32a", "38", "39", "40", "41", "42", "44"}


def labels(outcome: Units) -> tuple[str, ...]:
    return tuple(
        str(unit.index) if isinstance(unit, Device) else f"{unit.index}/{unit.gpu_instance}/{unit.compute_instance}"
        for unit in outcome
    )


def resolved(example: Example) -> Visibility:
    inventory = Inventory.load(example.inventory)
    value = example.mask and example.mask.format(*(unit.uuid for unit in inventory.units))
    return resolve(value, inventory, device_order=example.order, driver=example.driver)


@pytest.mark.parametrize(("row", "example"), EXAMPLES, ids=[f"{row}-{example.mask!s:.20}" for row, example in EXAMPLES])
def test_every_example_of_every_row_holds(row: str, example: Example) -> None:
    visibility = resolved(example)
    assert labels(visibility.devices) == example.expect
    assert {labels(outcome) for outcome in visibility.admissible} == {example.expect, *example.also}
    assert visibility.admissible[0] == visibility.devices
    assert visibility.settled == (not example.also)
    assert bool(visibility.unsettled_rows) == (not visibility.settled)


def test_every_row_that_speaks_of_a_mask_has_an_example() -> None:
    assert {rule.row for rule in RULES if not rule.examples} == SAID_WITHOUT_A_MASK


def test_only_rows_that_are_open_have_examples_with_several_outcomes() -> None:
    assert [rule.row for rule in RULES if rule.settled and any(example.also for example in rule.examples)] == []


def test_rows_are_unique_and_name_sources_that_exist() -> None:
    assert len(BY_ROW) == len(RULES)
    assert {source for rule in RULES for source in rule.sources} == set(SOURCES)
    assert set(REASONS) <= set(BY_ROW)


def test_the_page_of_the_documentation_is_current() -> None:
    remedy = "run: python -m pytest_gpuvisibility.masks.explain > docs/cuda-visible-devices.md"
    assert PAGE.read_text("utf-8") == explain.page(), remedy
