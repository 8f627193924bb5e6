"""Twins as servers under test: a profile file for each planted fault, and a way to judge it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pytest_gpuvisibility.conformance import functions
from pytest_gpuvisibility.conformance.arguments import judge

from pytest_gpuvisibility import toml
from pytest_gpuvisibility.resources import shipped_directory
from pytest_gpuvisibility.suite import Rule, RuleResult, Trial, open_server, rule_of

TWINS = shipped_directory("fixtures") / "twins"


def described_twins() -> list[dict[str, Any]]:
    """What twins.toml says of each."""
    twins: list[dict[str, Any]] = toml.loads((TWINS / "twins.toml").read_text())["twin"]
    return twins


def judged(rule: Rule, profile: Path) -> RuleResult:
    """Ask one rule of a server, in this process and without pytest's part of it."""
    directory = profile.with_suffix("")
    directory.mkdir()
    subject = open_server(str(profile), "", directory, version="1.0")
    [function] = [function for function in functions("server") if rule_of(function) == rule]
    return judge(Trial.open(subject, [rule]), function)


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
