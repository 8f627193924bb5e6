"""The plugin where pytest-xdist is put off: all that does not need it works as before."""

from __future__ import annotations

import pytest

from pytest_gpuvisibility.resources import shipped_directory

TESTS = """
    import os, pytest

    @pytest.mark.gpu_visibility("1")
    def test_narrowed(gpu_visibility):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"

    @pytest.mark.gpu_inventory("a100x2")
    def test_machine(gpu_machine):
        assert gpu_machine.run(["nvidia-smi", "-L"]).stdout.count("UUID") == 2

    @pytest.mark.gpu_count(2)
    def test_lease(gpu_lease):
        assert [device.index for device in gpu_lease.devices] == [0, 2]
"""


@pytest.mark.parametrize("lease", ["none", "worker", "test"])
def test_options_markers_fixtures_and_leases(pytester: pytest.Pytester, lease: str) -> None:
    pytester.makepyfile(
        TESTS if lease != "test" else TESTS.replace('gpu_visibility("1")', "gpu_count(2)").replace('"2"', '"0,2"')
    )
    options = ("-p", "no:xdist", "--gpu-visibility=0,2", "--gpu-inventory=a100x4", f"--gpu-lease={lease}")
    pytester.runpytest_subprocess(*options).assert_outcomes(passed=3)


def test_a_server_on_trial(pytester: pytest.Pytester) -> None:
    twin = shipped_directory("fixtures") / "twins" / "correct.toml"
    suite = ("--pyargs", "pytest_gpuvisibility.conformance", f"--gpu-server={twin}", "--gpu-rule=VIS-001")
    pytester.runpytest_subprocess(*suite, "-p", "no:xdist").assert_outcomes(passed=1)
