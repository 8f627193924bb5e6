"""``gpu_visibility``: what the test and its children see."""

from __future__ import annotations

import pytest


def test_the_fixtures_work_without_any_option(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_all_visible(gpu_inventory, gpu_visibility):
            assert len(gpu_inventory.devices) == 8
            assert gpu_visibility.devices == gpu_inventory.devices
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_set_narrows_for_one_test_only(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_narrow(gpu_visibility):
            gpu_visibility.set("1")
            assert [device.index for device in gpu_visibility.devices] == [2]
            assert gpu_visibility.environ["CUDA_VISIBLE_DEVICES"] == "2"

        def test_after(gpu_visibility):
            assert [device.index for device in gpu_visibility.devices] == [0, 2]
        """
    )
    pytester.runpytest_subprocess("--gpu-visibility=0,2", "--gpu-inventory=a100x4").assert_outcomes(passed=2)


def test_set_cannot_widen(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_widen(gpu_visibility): gpu_visibility.set('2')")
    result = pytester.runpytest_subprocess("--gpu-visibility=0,2", "--gpu-inventory=a100x4")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*gpu_visibility.set = 2 asks for device 2, but only 0-1 are permitted*"])


def test_the_environ_is_for_a_child_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os

        def test_copy(gpu_visibility):
            gpu_visibility.environ["CUDA_VISIBLE_DEVICES"] = "7"
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
            assert "PYTEST_GPU_VISIBILITY_OUTER" not in gpu_visibility.environ
        """
    )
    pytester.runpytest_subprocess("--gpu-visibility=0", "--gpu-inventory=a100x2").assert_outcomes(passed=1)
