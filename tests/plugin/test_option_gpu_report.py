"""``--gpu-report``: reports, by their names' endings."""

from __future__ import annotations

import json

import pytest
from suite_runs import DRIVER, refused


def test_several_reports_and_those_of_the_ini_file(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ngpu_report =\n    one.json\n    two.html\n")
    pytester.runpytest_subprocess(*DRIVER, "--gpu-rule=DRV-001", "-n1").assert_outcomes(passed=1)
    report = json.loads((pytester.path / "one.json").read_text())
    assert [(rule["id"], rule["verdict"]) for rule in report["rules"]] == [("DRV-001", "pass")]
    assert "DRV-001" in (pytester.path / "two.html").read_text()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("report.txt", "the ending says the format, and .txt is not known. Give a name that ends in .json or "),
        ("missing/report.json", "missing"),
    ],
)
def test_a_report_that_cannot_be_written(pytester: pytest.Pytester, path: str, words: str) -> None:
    said = refused(pytester, *DRIVER, f"--gpu-report={path}")
    assert f"ERROR: --gpu-report={path}: " in said
    assert words in said
