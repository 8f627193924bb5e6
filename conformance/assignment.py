"""ASN: each worker has devices of its own."""

from __future__ import annotations

from pytest_gpuvisibility.verdicts import MUST, rule

from .expect import assert_groups_disjoint
from .launch import Gpus, Launch, mask


@rule("ASN-001", MUST, sources=["sgl-project/sglang#8963", "pytorch/serve#950", "verl-project/verl#1096"])
def test_groups_do_not_overlap(launch: Launch, gpus: Gpus) -> None:
    """Two groups of two get four different devices.

    Rank arithmetic goes wrong where a group has more than one device.
    """
    given = gpus.last_half(at_least=2)
    size = len(given) // 2
    fleet = launch(visible=mask(given[: 2 * size], gpus), groups=2, devices=size)
    assert_groups_disjoint(fleet, gpus, size)


@rule("ASN-004", MUST, sources=["SeldonIO/MLServer#1570", "triton-inference-server/vllm_backend#85"])
def test_workers_do_not_share_a_device(launch: Launch, gpus: Gpus) -> None:
    """As many workers as devices: each has one of its own.

    A worker that binds cuda:0 without a mask of its own binds the first device, as all its siblings do.
    """
    given = gpus.last_half(at_least=2)
    fleet = launch(visible=mask(given, gpus), groups=len(given))
    assert_groups_disjoint(fleet, gpus, 1)
