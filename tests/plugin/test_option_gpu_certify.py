"""``--gpu-certify``: nothing may be left out."""

from __future__ import annotations

import pytest
from suite_runs import DRIVER


def test_what_is_left_out_fails_only_when_certifying(pytester: pytest.Pytester) -> None:
    options = (*DRIVER, "--gpu-rule=DRV-036", "-n0")
    result = pytester.runpytest_subprocess(*options, "-rs")
    result.assert_outcomes(skipped=1)
    result = pytester.runpytest_subprocess(*options, "--gpu-certify")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*--gpu-certify allows no rule to be left out; this one does not apply: needs *"])
