"""Twins as servers under test: a profile file for each planted fault, and a way to judge it."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_gpuvisibility.conformance import RULE_MODULES
from pytest_gpuvisibility.conformance.launch import Gpus, Launch

from pytest_gpuvisibility.inventory.model import Inventory
from pytest_gpuvisibility.launch.launcher import Theatre
from pytest_gpuvisibility.profile import files as profiles
from pytest_gpuvisibility.resources import shipped_directory
from pytest_gpuvisibility.suite.verdicts import Rule, rule_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MACHINE = "a100x8"

TWINS = shipped_directory("fixtures") / "twins"


def described_twins() -> list[dict[str, Any]]:
    """What twins.toml says of each."""
    twins: list[dict[str, Any]] = tomllib.loads((TWINS / "twins.toml").read_text())["twin"]
    return twins


def rule_functions() -> list[tuple[Rule, Callable[..., None]]]:
    """Every rule for servers with the function that asks it."""
    modules = [importlib.import_module(f"pytest_gpuvisibility.conformance.{name}") for name in RULE_MODULES["server"]]
    values = [value for module in modules for value in vars(module).values()]
    return [(rule, value) for value in values if (rule := rule_of(value)) is not None]


def judge(rule: Rule, profile: Path) -> None:
    """Ask one rule of a server, in this process and without a session: what the rule raises is the verdict."""
    room = profile.with_suffix("")
    room.mkdir()
    known: dict[str, Any] = {
        "launch": Launch(Theatre(profiles.load(profile), room), MACHINE),
        "gpus": Gpus(Inventory.load(MACHINE), MACHINE),
        "shipped": lambda name: Gpus(Inventory.load(name), name),
    }
    function = next(function for known_rule, function in rule_functions() if known_rule.id == rule.id)
    function(**{name: known[name] for name in inspect.signature(function).parameters})


def profile_of(fault: str, directory: Path, **replacements: str) -> Path:
    """The correct server's profile with a fault planted; ``replacements`` are of its text, for broken profiles."""
    text = (TWINS / "correct.toml").read_text().replace("{here}", str(TWINS))
    planted = text.replace('fault = "none"', f'fault = "{fault}"')
    for old, new in replacements.items():
        planted = planted.replace(old, new)
    path = directory / f"{fault}.toml"
    path.write_text(planted)
    return path


def check(profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """``gpu-visibility check`` on a profile."""
    command = [sys.executable, "-m", "pytest_gpuvisibility", "check", str(profile), *options]
    return subprocess.run(command, cwd=profile.parent, capture_output=True, text=True, check=False, timeout=300)


def verdicts(profile: Path, *options: str) -> dict[str, dict[str, Any]]:
    """Every rule's entry in the report of a run."""
    report = profile.with_suffix(".json")
    run = check(profile, f"--gpu-report={report}", *options)
    assert report.exists(), run.stdout + run.stderr
    return {rule["id"]: rule for rule in json.loads(report.read_text())["rules"]}
