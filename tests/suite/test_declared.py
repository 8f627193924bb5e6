"""What a profile declares is legal, is judged accordingly, and is held to be true."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from twin_runs import check, profile_of, verdicts

UNSUPPORTED = """
[[unsupported]]
rule = "{rule}"
reason = "the mask is read by somebody else"
issue_url = "https://example.org/issues/1"
"""


def declared(fault: str, directory: Path, rule: str) -> Path:
    profile = profile_of(fault, directory)
    profile.write_text(profile.read_text() + UNSUPPORTED.format(rule=rule))
    return profile


@pytest.mark.timeout(120)
def test_a_server_that_declares_to_wait_may_wait(tmp_path: Path) -> None:
    found = {}
    for waits in ("false", "true"):
        changes = {"waiting = false": f"waiting = {waits}", "ready_deadline = 15.0": "ready_deadline = 4.0"}
        profile = profile_of("ovr-004", tmp_path, **changes)
        found[waits] = verdicts(profile, "-n2", *(f"--gpu-rule=OVR-00{number}" for number in (1, 2, 4)))
    told = {waits: {id: rule["verdict"] for id, rule in rules.items()} for waits, rules in found.items()}
    assert (told["false"]["OVR-001"], told["false"]["OVR-004"]) == ("fail", "fail")
    assert told["true"] == {"OVR-001": "pass", "OVR-002": "does-not-apply", "OVR-004": "pass"}
    outcomes = [(launch["visible"], launch["outcome"]) for launch in found["true"]["OVR-001"]["scenarios"]]
    assert outcomes == [("2,3", "waiting"), (None, "ready")]  # and the launch that proves that it waits for the mask


@pytest.mark.timeout(120)
def test_a_server_that_declares_to_share_may_share(tmp_path: Path) -> None:
    rules = [f"--gpu-rule=OVR-00{number}" for number in (1, 2, 3)]
    found = {}
    for shares in ("false", "true"):
        profile = profile_of("ovr-003", tmp_path, **{"sharing = false": f"sharing = {shares}"})
        found[shares] = {id: rule["verdict"] for id, rule in verdicts(profile, "-n2", *rules).items()}
    assert found["false"] == {"OVR-001": "fail", "OVR-002": "fail", "OVR-003": "fail"}
    assert found["true"] == {"OVR-001": "pass", "OVR-002": "does-not-apply", "OVR-003": "pass"}


def test_a_claim_that_is_not_made_is_not_judged_and_not_certified(tmp_path: Path) -> None:
    profile = profile_of("idn-005", tmp_path, **{"order = true": "order = false"})
    report = tmp_path / "report.json"
    run = check(profile, "-n0", "--gpu-rule=IDN-005", f"--gpu-report={report}")
    assert run.returncode == 0, run.stdout
    [rule] = json.loads(report.read_text())["rules"]
    assert (rule["verdict"], "[supports].order" in rule["headline"]) == ("does-not-apply", True)
    assert check(profile, "-n0", "--gpu-rule=IDN-005", "--gpu-certify").returncode == 1


def test_a_rule_that_is_declared_unsupported_and_fails_is_no_failure(tmp_path: Path) -> None:
    found = verdicts(declared("vis-002", tmp_path, "VIS-002"), "-n0", "--gpu-rule=VIS-002")
    assert found["VIS-002"]["verdict"] == "unsupported"
    assert found["VIS-002"]["headline"] == "the mask is read by somebody else"
    assert "permitted 0 2, used 0 1 (touched)" in found["VIS-002"]["facts"]
    run = check(tmp_path / "vis-002.toml", "-n0", "--gpu-rule=VIS-002")
    assert run.returncode == 0, run.stdout
    assert "VIS-002  unsupported     the mask is read by somebody else" in run.stdout


def test_a_rule_that_is_declared_unsupported_and_holds_fails_the_run(tmp_path: Path) -> None:
    profile = declared("none", tmp_path, "VIS-002")
    run = check(profile, "-n0", "--gpu-rule=VIS-002")
    assert run.returncode == 1, run.stdout
    assert "Declared unsupported, and they hold: VIS-002. Remove their entries from" in run.stdout


def test_certification_allows_no_unsupported_rule(tmp_path: Path) -> None:
    run = check(declared("vis-002", tmp_path, "VIS-002"), "-n0", "--gpu-rule=VIS-002", "--gpu-certify")
    assert run.returncode == 1, run.stdout
    assert "--gpu-certify allows no rule to be left out; this one is declared unsupported" in run.stdout


@pytest.mark.parametrize(
    ("rules", "problem"),
    [(("VIS-999",), "names 'VIS-999', and there is no such rule"), (("VIS-002", "VIS-002"), "names VIS-002 twice")],
)
def test_a_rule_that_cannot_be_declared_unsupported(tmp_path: Path, rules: tuple[str, ...], problem: str) -> None:
    profile = profile_of("none", tmp_path)
    profile.write_text(profile.read_text() + "".join(UNSUPPORTED.format(rule=rule) for rule in rules))
    run = check(profile, "-n0")
    assert run.returncode == 4, run.stdout
    assert problem in run.stdout + run.stderr


def test_a_request_that_a_ready_server_does_not_answer_is_a_mistake_of_the_profile(tmp_path: Path) -> None:
    healthy = 'kind = "http"\nurl = "http://127.0.0.1:{worker_port}/health"'
    changes = {'kind = "request"': healthy, "expect = '\"ordinals\"'": "expect = 'ordinals.*are'"}
    run = check(profile_of("none", tmp_path, **changes), "-n0", "--gpu-rule=VIS-003")
    assert run.returncode == 2, run.stdout
    said = run.stdout + run.stderr
    assert "was ready, and did not answer what [server].request of the profile" in said
    assert "ordinals.*are" in said
