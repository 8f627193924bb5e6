"""``--gpu-server``, ``-rule``, ``-expect``, ``-strict``, ``-certify``, ``-report``, as pytest's user sees them.

The CUDA driver of a simulated machine is judged where any subject will do: it is the fastest.
"""

from __future__ import annotations

import json

import pytest
from twin_runs import profile_of

SUITE = ("--pyargs", "pytest_gpuvisibility.conformance", "-p", "no:cacheprovider")
DRIVER = (*SUITE, "--gpu-server=driver", "--gpu-inventory=a100x1")


def refused(pytester: pytest.Pytester, *options: str) -> str:
    result = pytester.runpytest_subprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR, result.stdout.str()
    assert "Traceback" not in result.stderr.str() + result.stdout.str()
    return result.stderr.str()


# ---- --gpu-server ----


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_the_suite_without_a_server_says_what_to_give(pytester: pytest.Pytester, workers: str) -> None:
    said = refused(pytester, *SUITE, workers)
    assert "ERROR: The conformance suite needs a server to judge: give --gpu-server=NAME (one of " in said
    assert "--gpu-server=driver for the CUDA driver itself." in said


def test_an_unknown_server_of_the_ini_file(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ngpu_server = lmqk\n")
    said = refused(pytester, *SUITE)
    assert "There is no server profile 'lmqk': it is neither one that ships (" in said
    assert "Did you mean 'lmql'?" in said


@pytest.mark.parametrize(
    "option", ["--gpu-rule=VIS-001", "--gpu-expect=none", "--gpu-strict", "--gpu-certify", "--gpu-report=report.json"]
)
def test_an_option_about_a_server_needs_one(pytester: pytest.Pytester, option: str) -> None:
    words = f"ERROR: {option} is about a server on trial, and none is given. Add --gpu-server=NAME ("
    assert words in refused(pytester, option)


# ---- --gpu-rule ----


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


# ---- --gpu-expect ----


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


# ---- --gpu-strict ----


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


# ---- --gpu-certify ----


def test_what_is_left_out_fails_only_when_certifying(pytester: pytest.Pytester) -> None:
    options = (*DRIVER, "--gpu-rule=DRV-036", "-n0")
    result = pytester.runpytest_subprocess(*options, "-rs")
    result.assert_outcomes(skipped=1)
    result = pytester.runpytest_subprocess(*options, "--gpu-certify")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*--gpu-certify allows no rule to be left out; this one is not applicable: needs *"])


# ---- --gpu-report ----


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
