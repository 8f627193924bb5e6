"""``--gpu-server``: what is on trial. Its use in ordinary tests is in test_fixture_gpu_server.py."""

from __future__ import annotations

import pytest
from suite_runs import SUITE, refused


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


@pytest.mark.parametrize("option", ["--gpu-visibility=0,2", "--gpu-lease=test", "--gpu-launch=noop"])
def test_an_option_about_the_tests_own_gpus_is_refused_beside_a_server(pytester: pytest.Pytester, option: str) -> None:
    words = f"ERROR: {option} is about the GPUs of the tests themselves, and --gpu-server"
    assert words in refused(pytester, *SUITE, "--gpu-server=lmql", option)
