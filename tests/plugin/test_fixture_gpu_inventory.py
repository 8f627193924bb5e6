"""``gpu_inventory``: the machine's GPUs, whatever the mask hides."""

from __future__ import annotations

import pytest


def test_it_has_what_the_mask_hides_and_what_tools_list(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import re, subprocess

        def test_listed(gpu_inventory, gpu_visibility):
            listed = subprocess.check_output(["nvidia-smi", "-L"], text=True)
            assert re.findall(r"GPU-[0-9a-f-]+", listed) == [device.uuid for device in gpu_inventory.devices]
            assert [device.index for device in gpu_inventory.devices] == [0, 1, 2, 3]
            assert [device.short_name for device in gpu_visibility.devices] == ["A100"]
        """
    )
    pytester.runpytest_subprocess("--gpu-inventory=mixed4", "--gpu-visibility=0", "-n1").assert_outcomes(passed=1)


def test_the_marker_chooses_another_for_one_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.gpu_inventory("mixed4")
        def test_marked(gpu_inventory):
            assert gpu_inventory.name == "mixed4"

        def test_after(gpu_inventory):
            assert gpu_inventory.name == "a100x2"
        """
    )
    pytester.runpytest_subprocess("--gpu-inventory=a100x2").assert_outcomes(passed=2)
