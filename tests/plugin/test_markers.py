"""The markers: what they do, and what is said of those that are malformed."""

from __future__ import annotations

import pytest


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini("[pytest]\naddopts = --strict-markers\n")
    return pytester


def test_each_does_what_it_says(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import os, pytest, subprocess

        @pytest.mark.gpu_visibility("1")
        def test_narrow():
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"

        @pytest.mark.gpu_inventory("mixed4")
        def test_other(gpu_inventory, gpu_visibility):
            assert gpu_inventory.name == "mixed4"
            assert gpu_visibility.devices == gpu_inventory.devices
            assert subprocess.check_output(["nvidia-smi", "-L"], text=True).count("UUID") == 4

        @pytest.mark.gpu_count(3)
        def test_skipped(): pass

        @pytest.mark.gpu_count(2)
        def test_enough(): pass

        @pytest.mark.no_gpu
        def test_blind(gpu_visibility):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "" and gpu_visibility.devices == ()

        def test_afterwards():
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,2"
        """
    )
    result = suite.runpytest_subprocess("--gpu-visibility=0,2", "--gpu-inventory=a100x8", "-rs")
    result.assert_outcomes(passed=5, skipped=1)
    result.stdout.fnmatch_lines(
        ["*gpu_count: 3 GPUs are needed, 2 are visible (CUDA_VISIBLE_DEVICES=0,2; inventory a100x8, simulated)"]
    )


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("gpu_visibility(1.5)", "gpu_visibility(1.5) is malformed; devices is text, as for --gpu-visibility"),
        ("gpu_visibility()", "gpu_visibility() is malformed; it takes one argument, devices, and has 0. Write"),
        ("gpu_visibility(mask='1')", "gpu_visibility(mask='1') is malformed; it takes no argument mask. Write"),
        ("gpu_visibility('8')", "test_it = 8 asks for device 8, but only 0-7 are there (inventory a100x8, simulated)"),
        (
            "gpu_count('2')",
            "gpu_count('2') is malformed; n is a whole number, 1 or more. Write @pytest.mark",
        ),
        ("gpu_count(True)", "gpu_count(True) is malformed; n is a whole number"),
        ("gpu_inventory('a100x5')", "gpu_inventory('a100x5'): There is no inventory and no file 'a100x5'."),
        ("no_gpu(1)", "no_gpu(1) is malformed; it takes no argument. Write @pytest.mark.no_gpu."),
    ],
)
def test_mistakes_are_usage_errors(suite: pytest.Pytester, marker: str, words: str) -> None:
    suite.makepyfile(f"import pytest\n\n@pytest.mark.{marker}\ndef test_it(): pass\n")
    result = suite.runpytest_subprocess("--gpu-inventory=a100x8")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: " in result.stderr.str() + result.stdout.str()
    assert "test_it" in result.stderr.str()
    assert words in result.stderr.str()
    assert "Traceback" not in result.stderr.str()


def test_under_xdist_the_test_fails_in_the_same_words(suite: pytest.Pytester) -> None:
    suite.makepyfile("import pytest\n\n@pytest.mark.gpu_count('2')\ndef test_it(): pass\ndef test_other(): pass\n")
    result = suite.runpytest_subprocess("-n1")
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["*test_it: gpu_count('2') is malformed; n is a whole number, 1 or more.*"])


def test_contradictions_are_usage_errors(suite: pytest.Pytester) -> None:
    suite.makepyfile("import pytest\n\n@pytest.mark.no_gpu\n@pytest.mark.gpu_count(2)\ndef test_it(): pass\n")
    result = suite.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_it: no_gpu hides every GPU, gpu_count(2) asks for some. Leave one of*"])
