"""A run of one rule, of a family, of all, of none that applies, and one whose process was killed: every report of it
says the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from suite_runs import DRIVER

GREY, GREEN = "#57606a", "#116329"
FILES = ("report.json", "report.html", "badge.svg")
REPORTS = (*(f"--gpu-report={name}" for name in FILES), "--junitxml=junit.xml")


def said_by(directory: Path) -> tuple[dict[str, str], str, str, str]:
    """Verdicts by rule, and what JSON, page and badge conclude."""
    report = json.loads((directory / "report.json").read_text())
    badge = (directory / "badge.svg").read_text()
    verdicts = {rule["id"]: rule["verdict"] for rule in report["rules"]}
    return verdicts, report["conclusion"], (directory / "report.html").read_text(), badge


def in_junit(directory: Path) -> dict[str, str]:
    cases = ElementTree.parse(directory / "junit.xml").iter("testcase")
    found = [{item.get("name"): item.get("value") for item in case.iter("property")} for case in cases]
    return {str(case["gpu_rule"]): str(case["gpu_verdict"]) for case in found if case}


@pytest.mark.parametrize(
    ("options", "code", "conclusion", "words", "badge", "colour"),
    [
        (["--gpu-rule=DRV-001"], 0, "partly-judged", "1 of 50 rules judged: all pass.", "1 of 50 rules judged", GREY),
        (["--gpu-rule=DRV-00[1-4]"], 0, "partly-judged", "4 of 50 rules judged: all pass.", "4 of 50 rules jud", GREY),
        ([], 0, "conforms", "Conforms: all ", "conforms, ", GREEN),
        (["--gpu-rule=DRV-036"], 0, "not-judged", "0 of 50 rules judged: none of the 1 asked applies.", "not ju", GREY),
    ],
)
def test_every_report_says_the_same(
    pytester: pytest.Pytester, options: list[str], code: int, conclusion: str, words: str, badge: str, colour: str
) -> None:
    result = pytester.runpytest_subprocess(*DRIVER, "-n0", *options, *REPORTS)
    assert result.ret == code
    verdicts, concluded, page, drawn = said_by(pytester.path)
    assert concluded == conclusion
    assert words in result.stdout.str()
    assert words in page
    assert badge in drawn
    assert colour in drawn
    assert in_junit(pytester.path) == verdicts
    assert ("Conforms" in result.stdout.str()) == (conclusion == "conforms")


def test_a_rule_whose_process_is_killed_is_unjudged(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        interfering="""
        import os, signal

        def pytest_runtest_call(item):
            if item.name == "test_minus_one":
                os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    result = pytester.runpytest_subprocess(*DRIVER, "-p", "interfering", "-n1", *REPORTS)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    verdicts, concluded, page, drawn = said_by(pytester.path)
    assert len(verdicts) == 50
    assert [id for id, verdict in verdicts.items() if verdict == "unjudged"] == ["DRV-004"]
    assert concluded == "not-judged"
    assert "Conforms" not in result.stdout.str() + page
    assert "conforms" not in drawn
    assert in_junit(pytester.path) == verdicts
    result.stdout.fnmatch_lines(["Not judged: *1 unjudged.", "*DRV-004  unjudged  *the process that judged it ended*"])


def test_rules_that_a_stopped_run_did_not_come_to_are_unjudged(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        interfering="""
        def pytest_runtest_call(item):
            if item.name == "test_minus_one":
                raise ValueError("harness")
        """
    )
    result = pytester.runpytest_subprocess(
        *DRIVER, "-p", "interfering", "-n0", "-x", "--gpu-rule=DRV-00[1-8]", *REPORTS
    )
    verdicts, concluded, _, _ = said_by(pytester.path)
    assert len(verdicts) == 8
    assert set(verdicts.values()) == {"pass", "error", "unjudged"} - ({"error"} if "error" not in verdicts else set())
    assert concluded == "not-judged"
    assert in_junit(pytester.path) == verdicts
    assert "the run was stopped before it was judged" in result.stdout.str()
