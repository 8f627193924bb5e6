from __future__ import annotations

import os

import pytest

pytest_plugins = ["pytester", "cuda_programs"]

OURS = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "GPU_VISIBILITY_MACHINE", "PYTEST_GPU_VISIBILITY_OUTER")


@pytest.fixture(autouse=True)
def no_inherited_gpu_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the person who runs these tests has set must not decide their outcome."""
    for name in [*OURS, *(name for name in os.environ if name.startswith("PYTEST_XDIST"))]:
        monkeypatch.delenv(name, raising=False)
