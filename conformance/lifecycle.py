"""LIF: what ends, ends whole, and says so."""

from __future__ import annotations

from typing import Any

from pytest_gpuvisibility.scenario import Fleet
from pytest_gpuvisibility.verdicts import MUST, SHOULD, rule

from .expect import assert_admits_a_dead_worker, assert_all_gone, assert_fails_without_workers, assert_ready
from .launch import Gpus, Launch, mask


def masked_pair(launch: Launch, gpus: Gpus, **what: Any) -> Fleet:
    """Two groups of one on the last two devices."""
    gpus.need(2)
    return launch(visible=mask(gpus.devices[-2:], gpus), groups=2, **what)


@rule("LIF-001", MUST, sources=["Lightning-AI/LitServe#347", "vllm-project/vllm#57650"], devices=2)
def test_a_worker_that_dies_in_setup_is_noticed(launch: Launch, gpus: Gpus) -> None:
    """When a worker dies while it starts, the server ends with a non-zero exit code, or does not report ready.

    An orchestrator sends requests to whatever says it is ready. Wait for the children, and hand on their failure.
    """
    assert_admits_a_dead_worker(masked_pair(launch, gpus, worker_dies_in_setup=True))


@rule(
    "LIF-002",
    MUST,
    sources=["vllm-project/vllm#55510", "sgl-project/sglang#23627", "sgl-project/sglang#31645"],
    devices=2,
)
def test_sigterm_ends_the_whole_server(launch: Launch, gpus: Gpus) -> None:
    """After SIGTERM to the launcher every process is gone within 30 s, and the devices are free.

    SIGTERM is what systemd, Kubernetes and Slurm send. Workers that stay hold their GPUs until somebody finds them.
    """
    fleet = masked_pair(launch, gpus, ending="SIGTERM")
    assert_ready(fleet)
    assert_all_gone(fleet)


@rule("LIF-003", SHOULD, sources=["vllm-project/vllm#55510", "NVIDIA-NeMo/RL#3592"], devices=2)
def test_a_killed_launcher_takes_its_workers_along(launch: Launch, gpus: Gpus) -> None:
    """After SIGKILL to the launcher every process is gone within 30 s.

    The launcher cannot act any more, its children can: PR_SET_PDEATHSIG, or a pipe that closes.
    """
    fleet = masked_pair(launch, gpus, ending="SIGKILL")
    assert_ready(fleet)
    assert_all_gone(fleet)


@rule("LIF-004", MUST, sources=["Lightning-AI/LitServe#347", "sgl-project/sglang#31645"], devices=2)
def test_ctrl_c_ends_the_whole_server(launch: Launch, gpus: Gpus) -> None:
    """After SIGINT to the launcher every process is gone within 30 s."""
    fleet = masked_pair(launch, gpus, ending="SIGINT")
    assert_ready(fleet)
    assert_all_gone(fleet)


@rule("LIF-010", MUST, sources=["Lightning-AI/LitServe#347", "vllm-project/vllm#57650"], devices=2)
def test_a_server_without_workers_does_not_end_well(launch: Launch, gpus: Gpus) -> None:
    """When all workers have died, the launcher ends with a non-zero exit code.

    Exit code 0 tells the supervisor that all is well; staying up tells it nothing at all.
    """
    fleet = masked_pair(launch, gpus, ending="kill-workers")
    assert_ready(fleet)
    assert_fails_without_workers(fleet)
