"""CTR: containers show less of a machine than a workstation does."""

from __future__ import annotations

from pytest_gpuvisibility.verdicts import MUST, rule

from .expect import assert_ready, assert_within
from .launch import Launch, Shipped


@rule("CTR-004", MUST, sources=["replicate/dreambooth#30", "sgl-project/sglang#2933", "ray-project/ray#28064"])
def test_nvidia_smi_is_not_needed(launch: Launch, shipped: Shipped) -> None:
    """Where there is no nvidia-smi on PATH, the server starts all the same.

    It is a tool for people; slim images leave it out. The CUDA runtime says how many devices there are.
    """
    gpus = shipped("a100x2")
    fleet = launch(gpus=gpus, groups=2, nvidia_smi=False)
    assert_within(fleet, gpus)
    assert_ready(fleet)
