"""LIF: what ends, ends whole, and says so."""

from __future__ import annotations

from typing import Any

from pytest_gpuvisibility.profile import Option
from pytest_gpuvisibility.records import Action, LaunchRecord, WorkerKill
from pytest_gpuvisibility.suite import MUST, SHOULD, DoesNotApply, NotDeclared, Unjudged, rule

from .expect import (
    assert_admits_a_dead_worker,
    assert_all_gone,
    assert_fails_without_workers,
    assert_ready,
    assert_within,
    no_evidence,
    outcome,
    violation,
)
from .launch import Gpus, Launch, mask

TIMES = 5
"""How often a worker is killed, and how often a model is given up and taken again."""


def masked_pair(launch: Launch, gpus: Gpus, **what: Any) -> LaunchRecord:
    """Two groups of one on the last two devices."""
    gpus.need(2)
    return launch(visible=mask(gpus.devices[-2:], gpus), total=2, **what)


def needs_workers_of_its_own(launch: Launch, gpus: Gpus) -> None:
    """:raises DoesNotApply: the server is one process, so no worker can be lost without it."""
    if launch.profile.division == "groups":
        return
    fleet = masked_pair(launch, gpus)
    assert_ready(fleet)
    if not any(process.role == "launcher" for process in fleet.processes):
        raise DoesNotApply("the server is one process: its launcher is its worker")


@rule("LIF-001", MUST, sources=["Lightning-AI/LitServe#347", "vllm-project/vllm#57650"], devices=2, needs=())
def test_a_worker_that_dies_in_setup_is_noticed(launch: Launch, gpus: Gpus) -> None:
    """When a worker dies while it starts, the server ends with a non-zero exit code, or does not report ready.

    An orchestrator sends requests to whatever says it is ready. Wait for the children, and hand on their failure.
    """
    needs_workers_of_its_own(launch, gpus)
    fleet = masked_pair(launch, gpus, worker_dies_in_setup=True)
    if fleet.victim is None:
        raise Unjudged("no process could be told to be a worker while the server started ([workers])")
    assert_admits_a_dead_worker(fleet)


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


@rule("LIF-005", MUST, sources=["vllm-project/vllm#55510", "sgl-project/sglang#31645"], devices=2)
def test_sigterm_while_loading_ends_the_whole_server(launch: Launch, gpus: Gpus) -> None:
    """After SIGTERM to the launcher while its workers load, every process is gone within 30 s.

    Loading takes minutes, and it is then that people change their minds. A handler that is installed once all is ready
    comes too late: install it before the first worker is started.
    """
    fleet = masked_pair(launch, gpus, ending="SIGTERM", ends_in_setup=True)
    if fleet.outcome == "exited":
        raise violation(fleet, "does not start although its GPUs are there", outcome(fleet))
    if fleet.outcome == "timeout":
        raise Unjudged("no process could be told to be a worker before the server was ready ([workers])")
    assert_all_gone(fleet)


@rule("LIF-006", MUST, sources=["rapidsai/dask-cuda#955", "xorbitsai/inference#572"], devices=2)
def test_a_worker_that_is_killed_is_replaced_or_missed(launch: Launch, gpus: Gpus) -> None:
    """After a worker was killed, another takes its place on the same devices, or the server is not ready any more.

    Out-of-memory killers choose workers. A server that goes on as if nothing had happened sends requests to nobody; one
    that starts the worker again must give it the same environment as before.
    """
    fleet, kills = with_worker_kills(launch, gpus)
    for turn, kill in enumerate(kills, 1):
        if kill.outcome == "ready":
            time = f", for the {turn}. time" if turn > 1 else ""
            fact = (
                f"worker {kill.group} killed{time}; {kill.seconds:.0f} s later nobody is in its place, and it says it"
                " is ready"
            )
            raise violation(fleet, "does not notice that a worker is gone", fact)
    assert_within(fleet, gpus)
    first = kills[0]
    if first.outcome == "replaced":
        before, after = devices_of(fleet, first.pid), devices_of(fleet, first.replacement)
        if not after <= before:
            raise violation(fleet, "starts a worker again on other GPUs", _came_back(gpus, before, [after]))


@rule("LIF-007", SHOULD, sources=["pytorch/serve#950", "rapidsai/dask-cuda#955", "NVIDIA-NeMo/RL#3592"], devices=2)
def test_a_worker_comes_back_to_the_same_device_every_time(launch: Launch, gpus: Gpus) -> None:
    """However often a worker is killed and started again, its devices stay the same.

    A counter that goes on counting moves it to its neighbour's GPU at the second or third start. Keep the devices with
    the worker's place, not with a counter.
    """
    fleet, kills = with_worker_kills(launch, gpus)
    replaced = [kill for kill in kills if kill.outcome == "replaced"]
    if not replaced:
        raise DoesNotApply(f"the server does not start a worker again; after it was killed: {kills[0].outcome}")
    before = devices_of(fleet, kills[0].pid)
    after = [devices_of(fleet, kill.replacement) for kill in replaced]
    if any(devices != before for devices in after[1:]):
        raise violation(fleet, "moves a worker when it starts it again", _came_back(gpus, before, after))


@rule("LIF-008", MUST, sources=["xorbitsai/inference#572", "ray-project/ray#44821", "NVIDIA-NeMo/RL#3592"], devices=4)
def test_a_refusal_leaves_nothing_in_the_way_of_the_next_start(launch: Launch, gpus: Gpus) -> None:
    """After a start that was refused for asking too much, a start that asks for what there is succeeds.

    It runs on the same machine, under the same mask, on the same ports and with the same files. Books, locks and
    sockets of a failed start must go with it.
    """
    gpus.need(4)
    division = launch.profile.division
    if division == "visible":
        raise DoesNotApply("the server cannot be asked for more than it is shown")
    too_much = (1, 4) if division == "devices" else (2, 2) if launch.profile.sizes_groups else (4, 1)
    fleet = launch(visible=mask(gpus.devices[2:4], gpus), total=2, refused_first=too_much)
    if fleet.refusal is None or fleet.refusal[0] != "exited":
        raise DoesNotApply("the server does not refuse what asks for too many devices (OVR-001), so nothing can follow")
    assert_ready(fleet)


@rule("LIF-009", SHOULD, sources=["xorbitsai/inference#572", "ray-project/ray#44821"], devices=2)
def test_a_model_that_is_unloaded_makes_room(launch: Launch, gpus: Gpus) -> None:
    """After a model was unloaded, it can be loaded again, five times over.

    Slots that are counted when a model comes and not when it goes run out. Free them in the same place.
    """
    if launch.profile.server.unload is None:
        name = launch.profile.product.name
        raise NotDeclared("[server].unload", f"the profile does not say how {name} unloads a model")
    fleet = masked_pair(launch, gpus, actions=(Action.of("reload", times=TIMES),))
    assert_ready(fleet)
    [result] = fleet.action_results
    if result.error:
        raise violation(fleet, "does not free what an unloaded model had", result.error)


@rule("LIF-010", MUST, sources=["Lightning-AI/LitServe#347", "vllm-project/vllm#57650"], devices=2)
def test_a_server_without_workers_does_not_end_well(launch: Launch, gpus: Gpus) -> None:
    """When all workers have died, the launcher ends with a non-zero exit code.

    Exit code 0 tells the supervisor that all is well; staying up tells it nothing at all.
    """
    needs_workers_of_its_own(launch, gpus)
    fleet = masked_pair(launch, gpus, ending="kill-workers")
    assert_ready(fleet)
    assert_fails_without_workers(fleet)


def with_worker_kills(launch: Launch, gpus: Gpus) -> tuple[LaunchRecord, tuple[WorkerKill, ...]]:
    """A server whose last worker is killed, and each that takes its place; and what became of that.

    :raises Unjudged: no process can be told to be that worker, or nobody can say whether another has taken its place.
    """
    needs_workers_of_its_own(launch, gpus)
    again = "restarts" in launch.profile.server.options
    options = (Option("restarts"),) if again else ()
    fleet = masked_pair(launch, gpus, options=options, actions=(Action.of("kill_worker", times=TIMES),))
    assert_ready(fleet)
    kills = fleet.action_results[0].worker_kills
    if not kills:
        raise Unjudged("no process could be told to be the last group's worker ([workers])")
    if kills[-1].outcome == "untouched":
        facts = [
            fleet.scenario.describe(),
            f"worker {kills[-1].pid} had touched a device, the one in its place has not",
        ]
        raise Unjudged("nobody can say whether a worker that was killed has been replaced", facts)
    return fleet, kills


def devices_of(fleet: LaunchRecord, pid: int | None) -> set[str]:
    """What a worker touched, or is bound to.

    :raises Unjudged: nobody can say.
    """
    worker = next((process for process in fleet.processes if process.pid == pid), None)
    used = worker.uses(fleet.scenario.devices) if worker is not None else None
    if used is None:
        raise no_evidence(fleet, [worker] if worker is not None else [])
    return set(used)


def _came_back(gpus: Gpus, before: set[str], after: list[set[str]]) -> str:
    return f"it had {gpus.indices(before)}, and came back on {', '.join(map(gpus.indices, after))}"
