"""Runs of the conformance suite through pytester, for the tests of its options.

The CUDA driver of a simulated machine is judged where any subject will do: it is the fastest.
"""

from __future__ import annotations

import pytest

SUITE = ("--pyargs", "pytest_gpuvisibility.conformance", "-p", "no:cacheprovider")
DRIVER = (*SUITE, "--gpu-server=driver", "--gpu-inventory=a100x1")


def refused(pytester: pytest.Pytester, *options: str) -> str:
    """What a run says on stderr that ends with a usage error."""
    result = pytester.runpytest_subprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR, result.stdout.str()
    assert "Traceback" not in result.stderr.str() + result.stdout.str()
    return result.stderr.str()
