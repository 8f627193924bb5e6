"""What is said of the rules: the devices and inventories that they need, their twins, `gpu-visibility rules --json`."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pytest_gpuvisibility.conformance import catalogue, functions
from pytest_gpuvisibility.conformance.launch import Gpus, Launch
from twin_runs import TWINS

from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.profile import files as profiles
from pytest_gpuvisibility.records import Scenario
from pytest_gpuvisibility.suite import DoesNotApply, rule_of


class Launched(Exception):
    """The rule has found the devices it needs."""


class NoLauncher:
    """Where no server is launched."""

    profile = profiles.load(TWINS / "correct.toml")
    hardware = None
    find = staticmethod(Inventory.load)

    def launch(self, scenario: Scenario) -> None:
        raise Launched


def ask(function: Callable[..., object], devices: int, inventories: set[str]) -> None:
    """Let a rule choose on a machine with so many devices; ``inventories`` gets the shipped ones that it asks for."""
    whole = Inventory.load("a100x8")
    small = Gpus(dataclasses.replace(whole, devices=whole.devices[:devices]), "a100x8")

    def shipped(name: str) -> Gpus:
        inventories.add(name)
        return Gpus(Inventory.load(name), name)

    known: dict[str, Any] = {"launch": Launch(NoLauncher(), "a100x8"), "gpus": small, "shipped": shipped}  # type: ignore[arg-type]
    function(**{name: known[name] for name in inspect.signature(function).parameters})


@pytest.mark.parametrize("function", functions("server"), ids=lambda function: rule_of(function).id)
def test_a_rule_needs_what_it_says(function: Callable[..., object]) -> None:
    rule = rule_of(function)
    assert rule is not None
    inventories: set[str] = set()
    with pytest.raises(Launched):
        ask(function, rule.devices, inventories)
    assert inventories == set(rule.inventories)
    if rule.devices > 1 and not inventories:
        with pytest.raises(DoesNotApply, match="needs"):
            ask(function, rule.devices - 1, set())


def test_the_list_for_programs_says_what_each_rule_needs_and_what_must_fail_it() -> None:
    command = [sys.executable, "-m", "pytest_gpuvisibility", "rules", "--json"]
    rules = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    by_id = {rule["id"]: rule for rule in rules}
    assert list(by_id) == [rule.id for rule in catalogue()]
    for rule in catalogue("server"):
        listed = by_id[rule.id]
        assert listed["twin"]["fault"] == rule.id.lower()
        assert listed["twin"]["summary"]
        assert set(listed["twin"]["also_fails"]) <= set(by_id) - {rule.id}
        assert (listed["devices"], tuple(listed["inventories"])) == (rule.devices, rule.inventories)
        assert listed["needs"] == [need.value for need in rule.needs]
    assert (by_id["VIS-001"]["needs"], by_id["VIS-004"]["needs"]) == (["answers", "workers"], ["answers"])
    assert by_id["IDN-005"]["inventories"] == ["mixed4"]
    assert by_id["DRV-001"]["twin"] is None
