"""OVR: a server that is asked for more than it has says so, and ends."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pytest_gpuvisibility.profile import Option
from pytest_gpuvisibility.records import LaunchRecord
from pytest_gpuvisibility.suite import MUST, SHOULD, DoesNotApply, rule

from .expect import (
    assert_each,
    assert_no_hang,
    assert_no_sharing,
    assert_not_a_bare_error,
    assert_nothing_used,
    assert_ready,
    assert_refused,
    assert_says,
    assert_total_used,
    assert_within,
    groups,
    outcome,
    shares_as_declared,
    violation,
)
from .launch import REFUSAL, Gpus, Launch, Shipped, mask, without_devices

NO_DEVICES = ((0, 1), (2, 0), (-1, 1))
"""Groups and devices a group, in numbers that come to nothing."""
NO_LAYOUTS = ("x", "2")
"""Layouts that no two numbers can express."""


def oversubscribed(launch: Launch, gpus: Gpus) -> LaunchRecord:
    """Two devices permitted, four asked for, eight on the machine."""
    gpus.need(4)
    visible = mask(gpus.devices[2:4], gpus)
    if launch.profile.division == "groups" and launch.profile.sizes_groups:
        return launch(visible=visible, groups=2, devices=2)
    return launch(visible=visible, total=4)


@rule(
    "OVR-001",
    MUST,
    sources=["eth-sri/lmql#333", "ai-dynamo/dynamo#1373", "ai-dynamo/dynamo#1405"],
    devices=4,
    needs=REFUSAL,
)
def test_too_few_devices_are_refused(launch: Launch, gpus: Gpus) -> None:
    """Asked for four devices with two permitted, the server ends with a non-zero exit code and leaves no process.

    A warning is not seen; a server that shares or borrows devices fails later, elsewhere, and takes others with it.
    """
    fleet = oversubscribed(launch, gpus)
    if not shares_as_declared(fleet, gpus, launch.profile.supports):
        assert_refused(fleet)
        launch.would_start_without_a_mask(fleet)


@rule(
    "OVR-002",
    MUST,
    sources=["ai-dynamo/dynamo#1373", "huggingface/text-generation-inference#707"],
    devices=4,
    needs=REFUSAL,
)
def test_the_refusal_names_both_numbers(launch: Launch, gpus: Gpus) -> None:
    """The refusal says on stderr how many devices were asked for and how many there are.

    Quote the mask as well: the reader has usually forgotten that it is set.
    """
    fleet = oversubscribed(launch, gpus)
    if shares_as_declared(fleet, gpus, launch.profile.supports):
        raise DoesNotApply("the server shares devices instead of refusing, as it declares")
    if fleet.outcome == "waiting":
        raise DoesNotApply("the server waits for devices instead of refusing, as it declares")
    if fleet.ready:
        raise violation(fleet, "never says that it has too few GPUs", "ready, as if nothing were wrong")
    assert_says(fleet, "4", "2")


@rule("OVR-003", MUST, sources=["ai-dynamo/dynamo#1405", "NVIDIA/cuopt#1935"], devices=4)
def test_oversubscription_takes_nobody_elses_device(launch: Launch, gpus: Gpus) -> None:
    """Asked for too much, the server shares no device between two groups and uses none that is not permitted."""
    fleet = oversubscribed(launch, gpus)
    assert_within(fleet, gpus)
    if not launch.profile.supports.sharing:
        assert_no_sharing(fleet, gpus)


@rule(
    "OVR-004",
    MUST,
    sources=["vllm-project/vllm#13909", "vllm-project/aibrix#927", "vllm-project/vllm#11138"],
    devices=4,
    needs=REFUSAL,
)
def test_oversubscription_does_not_hang(launch: Launch, gpus: Gpus) -> None:
    """Asked for too much, the server comes to an end, one way or the other.

    Waiting for devices can be wanted; then the profile declares it ([supports].waiting), and it has a documented bound.
    """
    assert_no_hang(oversubscribed(launch, gpus))


@rule(
    "OVR-005",
    MUST,
    sources=["ollama/ollama#14031", "jax-ml/jax#10021", "magicyuan876/mineru-tianshu#22"],
    inventories=("none", "mig-bare"),
    needs=REFUSAL,
)
def test_the_cpu_is_no_silent_substitute(launch: Launch, gpus: Gpus, shipped: Shipped) -> None:
    """Where no GPU is visible, the server does not become ready on the CPU, unless it was asked to.

    It answers, a hundred times slower, and nobody is told. Where the CPU is wanted, one says so; then it works. A GPU
    in MIG mode that nobody has cut is listed by nvidia-smi, and CUDA shows nothing.
    """
    machines = without_devices(shipped)
    fleets = [launch(visible="", total=2), *(launch(gpus=machine, groups=1) for machine in machines)]
    assert_each(fleets, _assert_not_on_the_cpu)
    if "cpu" in launch.profile.server.options:
        asked = launch(visible="", groups=1, options=(Option.of("cpu"),))
        assert_ready(asked)
        assert_nothing_used(asked, gpus)


def _assert_not_on_the_cpu(fleet: LaunchRecord) -> None:
    if fleet.ready and not any(worker.touched or worker.shown for worker in fleet.workers):
        raise violation(fleet, "serves without a GPU as if it had one", outcome(fleet), "no worker is shown a device")


@rule(
    "OVR-006",
    SHOULD,
    sources=["huggingface/trl#3363", "gpustack/gpustack#2501", "vllm-project/vllm-ascend#14628"],
    devices=4,
    needs=REFUSAL,
)
def test_a_refusal_is_not_a_bare_exception(launch: Launch, gpus: Gpus) -> None:
    """A refusal is said to a person: not with an IndexError, nor with "invalid device ordinal".

    It names the mask, the device, or how many were asked for and how many are there. A sentence behind an exception's
    name will do; a banner below "invalid device ordinal" says nothing.
    """
    refusals = [fleet for fleet in (oversubscribed(launch, gpus), launch(visible="0,99,1", total=2)) if not fleet.ready]
    if not refusals:
        raise DoesNotApply("the server refused neither of the two launches, so there is no refusal to read")
    for fleet in refusals:
        assert_not_a_bare_error(fleet)


@rule("OVR-007", SHOULD, sources=["vllm-project/vllm-ascend#10227", "NVIDIA-NeMo/RL#3592"], devices=4, needs=REFUSAL)
def test_the_refusal_comes_before_any_device_is_opened(launch: Launch, gpus: Gpus) -> None:
    """Asked for too much, the server counts first: no process opens a device before the refusal.

    Loading a model takes minutes, and what is opened must be closed again. The numbers are known at the start.
    """
    fleet = oversubscribed(launch, gpus)
    if fleet.outcome != "exited":
        raise DoesNotApply("the server does not refuse, so there is nothing before the refusal")
    touched = {uuid for process in fleet.processes for uuid in process.touched}
    if touched:
        raise violation(fleet, "opens devices before it refuses", f"touched {gpus.indices(touched)}")


@rule("OVR-008", MUST, sources=["eth-sri/lmql#333"], devices=2, needs=REFUSAL)
def test_a_layout_that_makes_no_sense_is_refused(launch: Launch, gpus: Gpus) -> None:
    """No groups, no devices, negative groups, no number, half a layout: each is refused with a non-zero exit code.

    A launcher that starts nothing and reports success is restarted for ever.
    """
    given = mask(gpus.last_half(), gpus)
    division = launch.profile.division
    if division == "visible":
        raise DoesNotApply("the server is asked for no number: the command of its profile has no {groups} or {devices}")
    layouts = [layout for layout in NO_DEVICES if launch.profile.sizes_groups or layout[1] == 1]
    if division == "devices":
        layouts = [(1, 0), (1, -1)]
    fleets = [launch(visible=given, groups=groups, devices=devices) for groups, devices in layouts]
    if launch.profile.has_layout:
        fleets += [launch(visible=given, groups=0, devices=1, layout=layout) for layout in NO_LAYOUTS]
    assert_each(fleets, assert_refused)


@rule("OVR-009", SHOULD, sources=["triton-inference-server/server#1566", "ai-dynamo/dynamo#1405"], devices=2)
def test_sharing_works_where_it_is_asked_for(launch: Launch, gpus: Gpus) -> None:
    """Asked to share, two groups run on one device, and the server says that they do.

    A small model need not have a GPU to itself. That two workers share one belongs into the log: whoever looks for lost
    memory will read it.
    """
    given = gpus.last_half()[:1]
    fleet = launch(visible=mask(given, gpus), groups=2, options=(Option.of("share", share=2),))
    assert_ready(fleet)
    assert_within(fleet, gpus)
    used = list(groups(fleet).values())
    if used != [{given[0].uuid}] * 2:
        raise violation(fleet, "does not share the GPU as it was asked to", f"groups have {_listed(used, gpus)}")
    if not re.search(r"\bshar", fleet.stdout + fleet.stderr, re.IGNORECASE):
        raise violation(fleet, "shares a GPU and does not say so", "the log speaks of no sharing")


def _listed(used: Iterable[Iterable[str]], gpus: Gpus) -> str:
    return " | ".join(gpus.indices(devices) for devices in used)


@rule("OVR-010", MUST, sources=["ggml-org/llama.cpp#14719", "pytorch/pytorch#135279"], devices=4)
def test_devices_that_were_not_asked_for_are_left_alone(launch: Launch, gpus: Gpus) -> None:
    """With four devices permitted and two asked for, two are used, by whatever process.

    A context on a third costs half a gigabyte there and breaks exclusive-process mode.
    """
    gpus.need(4)
    fleet = launch(visible=mask(gpus.devices[:4], gpus), total=2)
    assert_total_used(fleet, gpus, 2)
