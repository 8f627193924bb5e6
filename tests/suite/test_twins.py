"""The suite against servers whose faults are known: every rule must be able to fail, and to pass."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pytest_gpuvisibility.conformance import catalogue
from twin_runs import check, described_twins, judged, profile_of, verdicts

from pytest_gpuvisibility.reports.json_report import SCHEMA_FILE
from pytest_gpuvisibility.suite import Rule


@pytest.mark.parametrize("rule", catalogue("server"), ids=lambda rule: rule.id)
def test_the_twin_fails_its_rule(rule: Rule, tmp_path: Path) -> None:
    result = judged(rule, profile_of(rule.id.lower(), tmp_path))
    assert result.violated, result
    assert result.headline
    assert result.facts


@pytest.mark.twins
@pytest.mark.parametrize("twin", described_twins(), ids=lambda twin: twin["rule"])
def test_a_twin_fails_its_rule_and_no_other(twin: dict[str, Any], tmp_path: Path) -> None:
    found = verdicts(profile_of(twin["fault"], tmp_path), "--gpu-expect=none", "-n4")
    violated = {id for id, rule in found.items() if rule["verdict"] in ("fail", "warn")}
    assert violated == {twin["rule"], *twin.get("also_fails", {})}
    assert not {id for id, rule in found.items() if rule["verdict"] in ("error", "unsupported", "unjudged")}


def test_a_worker_for_which_nothing_was_left_may_touch_nothing(tmp_path: Path) -> None:
    """Asked for two groups of two where there are two devices, the twin starts both; what they share is seen well."""
    [rule] = [rule for rule in catalogue("server") if rule.id == "OVR-003"]
    result = judged(rule, profile_of("ovr-001", tmp_path))
    assert result.verdict.value == "pass", result


def test_the_correct_server_passes_every_rule(tmp_path: Path) -> None:
    found = verdicts(profile_of("none", tmp_path), "-n4")
    assert {id: rule["verdict"] for id, rule in found.items()} == {rule.id: "pass" for rule in catalogue("server")}


def test_the_correct_servers_report_is_evidence_of_touching(tmp_path: Path) -> None:
    profile = profile_of("none", tmp_path)
    report = tmp_path / "report.json"
    run = check(profile, "--gpu-rule=VIS-002", "-n0", f"--gpu-report={report}")
    assert run.returncode == 0, run.stdout + run.stderr
    document = json.loads(report.read_text())
    jsonschema.validate(document, json.loads(SCHEMA_FILE.read_text()))
    [rule] = document["rules"]
    [scenario] = rule["scenarios"]
    workers = [process for process in scenario["processes"] if process["role"] == "worker"]
    assert len(workers) == 2
    for worker in workers:
        assert worker["evidence"] == "touched"
        assert set(worker["touched"]) < set(worker["permitted"])


def test_every_twin_is_described() -> None:
    assert {twin["rule"] for twin in described_twins()} == {rule.id for rule in catalogue("server")}


def test_the_plain_pytest_command_is_the_same_run(tmp_path: Path) -> None:
    profile = profile_of("vis-002", tmp_path)
    command = [sys.executable, "-m", "pytest", "--pyargs", "pytest_gpuvisibility.conformance"]
    options = [f"--gpu-server={profile}", "--gpu-rule=VIS-002", "-p", "no:cacheprovider"]
    run = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout
    assert "Does not conform: 1 MUST rule fails; 1 of 69 rules judged." in run.stdout


def test_rules_share_a_launch_also_across_workers(tmp_path: Path) -> None:
    rules = [f"--gpu-rule={id}" for id in ("VIS-001", "VIS-012", "ASN-004")]
    run = check(profile_of("none", tmp_path), *rules, "-n3")
    assert "3 rules, 2 scenarios," in run.stdout  # the launch that shows that the server runs, and theirs


def test_the_summary_begins_with_what_a_stranger_asks(tmp_path: Path) -> None:
    run = check(profile_of("vis-001", tmp_path), "--gpu-rule=VIS-001", "--gpu-rule=VIS-002", "-n0")
    lines = run.stdout[run.stdout.index("twin 1.0 on simulated") :].splitlines()[:10]
    title, _, count, _, launch, proof = lines[:6]
    assert title.startswith("twin 1.0 on simulated a100x8: 2 rules, 3 scenarios, ")
    assert title.endswith(" s of it the server's own start-up)")
    assert count == "Does not conform: 1 MUST rule fails, 1 passes; 2 of 69 rules judged."
    assert launch.split("  ")[1:3] == ["VIS-001", "takes GPUs it was not given"]
    assert launch.endswith("  CUDA_VISIBLE_DEVICES=4,5,6,7, 4 groups of 1")
    assert proof.strip() == "permitted 4 5 6 7, used 0 1 2 3 (touched)"
