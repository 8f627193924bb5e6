"""Records go through JSON, between processes and into files, and come back as they were."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_gpuvisibility import Inventory, records
from pytest_gpuvisibility.plain import NotPlain, from_plain, to_plain
from pytest_gpuvisibility.records import LaunchRecord, MaskAnswer, MaskQuery, ProcessRecord, Scenario
from pytest_gpuvisibility.suite import MUST, Rule, RuleResult, Verdict

st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
SEVERAL = 3
"""Of anything: what holds of three holds of many, and they are made faster."""


def some(kind: Any) -> st.SearchStrategy[Any]:
    """Any instance of a record whose parts are any of theirs, short ones."""
    if not dataclasses.is_dataclass(kind):
        return st.from_type(kind)
    return st.builds(kind)


def launches(depth: int = 1) -> st.SearchStrategy[LaunchRecord]:
    beside = st.lists(launches(depth - 1), max_size=1).map(tuple) if depth else st.just(())
    return st.builds(LaunchRecord, processes=st.lists(some(ProcessRecord), max_size=SEVERAL).map(tuple), beside=beside)


def through_json(record: Any) -> Any:
    return from_plain(type(record), json.loads(json.dumps(to_plain(record))))


@given(launches())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_a_launch_comes_back(record: LaunchRecord) -> None:
    assert through_json(record) == record


KINDS = [
    kind
    for kind in vars(records).values()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind is not LaunchRecord
]


@pytest.mark.parametrize("kind", [*KINDS, RuleResult], ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=50)
def test_every_record_comes_back(kind: type[Any], data: st.DataObject) -> None:
    record = data.draw(some(kind))
    assert through_json(record) == record


@pytest.mark.parametrize("name", Inventory.names())
def test_every_inventory_comes_back(name: str) -> None:
    inventory = Inventory.load(name)
    assert through_json(inventory) == inventory


def test_the_key_of_a_scenario_survives() -> None:
    scenario = Scenario(visible="1", actions=(records.Action.of("beside", visible="2"),), environ=(("A", "b"),))
    assert through_json(scenario).key == scenario.key


ANSWER = to_plain(MaskAnswer(MaskQuery("0"), 0, ("GPU-1",), (("GPU-1",), ())))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"result": "0"}, "result is '0', not a whole number"),
        ({"result": True}, "result is True, not a whole number"),
        ({"query": None}, "query is None, not a table"),
        ({"query": {"visible": 0}}, "query.visible is 0, not text"),
        ({"devices": "GPU-1"}, "devices is 'GPU-1', not a list"),
        ({"admissible": [["GPU-1"], [1]]}, r"admissible\[1\]\[0\] is 1, not text"),
    ],
)
def test_what_no_record_was_written_as_is_explained_by_its_place(change: dict[str, Any], words: str) -> None:
    with pytest.raises(NotPlain, match=words):
        from_plain(MaskAnswer, {**ANSWER, **change})  # type: ignore[dict-item]


def test_what_is_missing_is_named() -> None:
    with pytest.raises(NotPlain, match="it lacks result"):
        from_plain(MaskAnswer, {name: value for name, value in ANSWER.items() if name != "result"})  # type: ignore[union-attr]


def test_an_enumeration_takes_its_values_alone() -> None:
    rule = Rule("VIS-001", MUST, "s", "e", ())
    plain = to_plain(RuleResult(rule, Verdict.PASS))
    with pytest.raises(NotPlain, match="verdict is 'passed', not 'pass' or 'fail' or"):
        from_plain(RuleResult, {**plain, "verdict": "passed"})  # type: ignore[dict-item]
