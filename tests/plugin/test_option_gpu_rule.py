"""``--gpu-rule``: some of the rules only."""

from __future__ import annotations

import pytest
from suite_runs import DRIVER, refused


def test_rules_are_chosen_by_globs_and_repeated(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess(*DRIVER, "--gpu-rule=drv-00[12]", "--gpu-rule=DRV-014", "-n0")
    result.assert_outcomes(passed=3, deselected=47)


def test_rules_of_the_ini_file(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ngpu_rule =\n    DRV-001\n    DRV-002\n")
    pytester.runpytest_subprocess(*DRIVER, "-n1").assert_outcomes(passed=2)


def test_a_glob_without_a_rule(pytester: pytest.Pytester) -> None:
    words = (
        "ERROR: --gpu-rule=VIS-* matches no rule. Rules are named like DRV-001; globs like 'DRV-*' work. All of them:"
    )
    assert words in refused(pytester, *DRIVER, "--gpu-rule=VIS-*")
