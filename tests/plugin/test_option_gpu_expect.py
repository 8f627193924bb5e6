"""``--gpu-expect``: the known violations; how strictly they are held to is in test_check_errors.py."""

from __future__ import annotations

import pytest
from suite_runs import DRIVER, refused


def test_expectations_are_found_beside_the_ini_file_and_none_puts_them_off(pytester: pytest.Pytester) -> None:
    (pytester.path / "known.toml").write_text('[[violation]]\nrule = "DRV-001"\nseen = "nothing of the kind"\n')
    pytester.makeini("[pytest]\ngpu_expect = known.toml\n")
    result = pytester.runpytest_subprocess(*DRIVER, "--gpu-rule=DRV-001", "-n0")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["No longer violated, although known.toml lists them: DRV-001*"])
    result = pytester.runpytest_subprocess(*DRIVER, "--gpu-rule=DRV-001", "-n0", "--gpu-expect=none")
    result.assert_outcomes(passed=1)


def test_expectations_that_are_not_there(pytester: pytest.Pytester) -> None:
    words = "ERROR: Cannot read the expectations file nowhere.toml: No such file or directory. Give --gpu-expect"
    assert words in refused(pytester, *DRIVER, "--gpu-expect=nowhere.toml")
