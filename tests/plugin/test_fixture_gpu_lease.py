"""``gpu_lease``: what a test has to itself. How leases are shared out is in test_option_gpu_lease.py."""

from __future__ import annotations

import pytest


def test_its_devices_are_cuda_ordinals_for_the_test_and_its_children(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import subprocess, sys

        import pytest

        UUIDS = '''
        from cuda.bindings import driver
        driver.cuInit(0)
        for ordinal in range(driver.cuDeviceGetCount()[1]):
            print(driver.cuDeviceGetUuid(driver.cuDeviceGet(ordinal)[1])[1].bytes.hex())
        '''

        @pytest.mark.gpu_count(2)
        def test_two(gpu_lease, gpu_visibility):
            import textwrap
            shown = subprocess.check_output([sys.executable, "-c", textwrap.dedent(UUIDS)], text=True).split()
            leased = [device.uuid.removeprefix("GPU-").replace("-", "") for device in gpu_lease.devices]
            assert shown == leased and len(leased) == 2
            assert gpu_visibility.devices == gpu_lease.devices
        """
    )
    pytester.runpytest_subprocess("--gpu-lease=test", "--gpu-inventory=mixed4", "-n1").assert_outcomes(passed=1)
