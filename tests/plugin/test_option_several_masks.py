"""Several ``--gpu-visibility``, or a list in the ini file: once under each."""

from __future__ import annotations

import pytest

SUITE = """
    import os, pytest

    def test_fixture(gpu_visibility):
        print("ran", os.environ["CUDA_VISIBLE_DEVICES"], len(gpu_visibility.devices), "end")

    @pytest.mark.gpu_visibility("1")
    def test_marker():
        print("marked", os.environ["CUDA_VISIBLE_DEVICES"], "end")

    def test_neither():
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,6"
"""
IDS = ["*test_fixture[[]0,2] PASSED*", "*test_fixture[[]none] PASSED*", "*test_fixture[[]all] PASSED*"]


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    pytester.makepyfile(SUITE)
    return pytester


def test_options(suite: pytest.Pytester) -> None:
    options = ["--gpu-visibility=0,2", "--gpu-visibility=none", "--gpu-visibility=all", "--gpu-inventory=a100x8"]
    result = suite.runpytest_subprocess(*options, "-v", "-rP")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(
        ["gpu-visibility: 3 masks, 0,2 | none | all (from --gpu-visibility); inventory a100x8 *"]
    )
    result.stdout.fnmatch_lines(IDS)
    result.stdout.fnmatch_lines(["ran 4,6 2 end", "ran  0 end", "ran 4,5,6,7 4 end", "marked 6 end", "marked 5 end"])


def test_the_ini_file_under_xdist(suite: pytest.Pytester) -> None:
    suite.makeini("[pytest]\ngpu_inventory = a100x8\ngpu_visibility =\n    0,2\n    none\n    all\n")
    suite.runpytest_subprocess("-n2").assert_outcomes(passed=6)


def test_a_bad_one_is_named(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess("--gpu-visibility=0", "--gpu-visibility=9", "--gpu-inventory=a100x8")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --gpu-visibility=9 asks for device 9, but only 0-3 are permitted*"])
