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
ALSO_OPEN: dict[tuple[str, str | None, str | None], str] = {("32", "0,1", None): "31", ("33", "{1}", None): "32"}
"""Examples that raise a second question, by row, mask and driver: the row that leaves that one open."""
OF_UNSHOWN_DEVICES = {"29", "30", "31", "32a"}
"""Rows of tokens on machines with MIG slices, in test_resolver_mig.py."""
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
    second = ALSO_OPEN.get((row, example.mask, example.driver))
    assert visibility.unsettled_rows == ((row, *([second] if second else [])) if example.also else ())


TOKENS = [
    ("a100x4", "", "ends 2"),
    ("a100x4", " ", "ends 3"),
    ("a100x4", "\t\n", "ends 3"),
    ("a100x4", "-1,0", "ends 4, hidden 7"),
    ("a100x4", "2,1", "visible 5, visible 5"),
    ("a100x4", "0,2,-1,1", "visible 5, visible 5, ends 6, hidden 7"),
    ("a100x4", "0,9,1,1", "visible 5, ends 7, hidden 7, hidden 7"),
    ("a100x4", "9,0", "ends 8, hidden 7"),
    ("a100x4", "0,1,0,2", "hidden 9, hidden 9, repeats 9, hidden 9"),
    ("a100x4", "0,0 ", "hidden 9, repeats 9"),
    ("a100x4", " 0,0", "hidden 9, repeats 9"),
    ("a100x4", "0,x,0", "visible 5, ends 19, hidden 7"),
    ("a100x4", "1,01", "hidden 12, repeats 12"),
    ("a100x4", "0, 1,2 ", "visible 5, visible 13, visible 13"),
    ("a100x4", "+3,-0", "visible 14, visible 14"),
    ("a100x4", "1gpu2,0x", "visible 15, visible 18"),
    ("a100x4", "0-,1-2,2-3-", "visible 15, visible 16, visible 15"),
    ("a100x4", "01,00 ,0", "hidden 12, hidden 12, repeats 12"),
    ("a100x4", "01,002,0X1", "visible 17, visible 17, visible 18"),
    ("a100x4", "3,gpu", "visible 5, ends 19"),
    ("a100x4", "0,,1", "visible 5, ends 20, hidden 7"),
    ("a100x4", "0, ", "visible 5, ends 20"),
    ("a100x4", ",0", "ends 20, hidden 7"),
    ("a100x4", "2147483647", "ends 8"),
    ("a100x4", "2147483648", "ends 21"),
    ("a100x4", "0,4294967296", "visible 5, ends 21"),
    ("a100x4", "NoDevFiles", "ends 22"),
    ("a100x4", "0,all", "visible 5, ends 23"),
    ("a100x4", "none,0", "ends 23, hidden 7"),
    ("a100x4", "void", "ends 23"),
    ("a100x4", "{1},{0}", "visible 25, visible 25"),
    ("a100x4", "{1:.12},{0:.8}", "visible 25a, visible 25a"),
    ("a100x8", "{1},{7:.8},{0}", "visible 25, ends 25b, hidden 7"),
    ("a100x4", "{1}x,{0}", "ends 25c, hidden 7"),
    ("a100x4", "{1},{0},{1:.8}", "hidden 25d, hidden 25d, repeats 25d"),
    ("a100x1", "GPU-", "visible 25e"),
    ("a100x4", "{1},gpu-5f1ce952", "visible 25, ends 25g"),
    ("a100x4", "gpu-5f1ce952,0", "ends 25g, hidden 7"),
    ("a100x4", "{1},0", "visible 25, ends 26"),
    ("a100x4", "0,{1}", "visible 5, ends 26"),
    ("mig", "0,{3}", "visible 5, ends 26"),
    ("mig", "{3},{0}", "visible 28, ends 26"),
    ("mig", "{0},{2}", "visible 25, ends 26"),
    ("a100x4", "{1},", "visible 25, ends 20"),
    ("mig", "{3}, ", "visible 28, ends 20"),
    ("mig", "{3},MIG-0", "visible 28, ends 28"),
    ("mig", "{3},mig-0", "visible 28, ends 25g"),
    ("mig", "MIG-{1}/2/0,MIG-{1}/7/0", "visible 28a, ends 28a"),
    ("mig", "{3:.12}", "ends 28b"),
    ("mig", "MIG-", "ends 28b"),
    ("mig", "0,1", "visible 5, visible 32"),
    ("mig", "{1:.12},{0}", "visible 33, visible 25"),
]


@pytest.mark.parametrize(("name", "mask", "told"), TOKENS, ids=[f"{name}-{mask}" for name, mask, _ in TOKENS])
def test_every_token_names_the_row_that_speaks_of_it(name: str, mask: str, told: str) -> None:
    tokens = resolved(Example(mask, name, ())).tokens
    assert ", ".join(f"{token.status} {token.row}" for token in tokens) == told


def test_each_row_that_can_speak_of_a_token_does() -> None:
    named = {word.split()[1] for _, _, told in TOKENS for word in told.split(", ")}
    assert set(REASONS) - named == {"25h", *OF_UNSHOWN_DEVICES}


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
