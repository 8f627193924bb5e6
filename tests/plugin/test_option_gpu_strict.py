"""``--gpu-strict``: a SHOULD that is broken fails the run too."""

from __future__ import annotations

import pytest
from suite_runs import SUITE, refused
from twin_runs import profile_of


def test_a_should_fails_only_when_strict(pytester: pytest.Pytester) -> None:
    options = (*SUITE, f"--gpu-server={profile_of('idn-004', pytester.path)}", "--gpu-rule=IDN-004", "-n0")
    result = pytester.runpytest_subprocess(*options)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*1 SHOULD rule warns*"])
    pytester.makeini("[pytest]\ngpu_strict = true\n")
    assert pytester.runpytest_subprocess(*options).ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("name", ["gpu_strict", "gpu_certify"])
def test_a_switch_of_the_ini_file_that_is_none(pytester: pytest.Pytester, name: str) -> None:
    pytester.makeini(f"[pytest]\n{name} = perhaps\n")
    said = refused(pytester)
    assert f"ERROR: {name} in tox.ini is neither true nor false: " in said
    assert f"'perhaps'. Write true or false; or leave it out, and give --{name.replace('_', '-')} where" in said
