"""ASN: each worker has devices of its own."""

from __future__ import annotations

from typing import Any

from pytest_gpuvisibility.inventory import Device
from pytest_gpuvisibility.profile import Option
from pytest_gpuvisibility.records import IDLE, SECOND_MODEL, Action, LaunchRecord
from pytest_gpuvisibility.suite import MUST, SHOULD, NotDeclared, Unjudged, rule

from .expect import (
    assert_each,
    assert_groups_disjoint,
    assert_ready,
    assert_refused,
    assert_uses_exactly,
    assert_within,
)
from .isolation import (
    assert_apart,
    assert_masks_are_not_set_late,
    assert_nothing_leaks,
    assert_only_workers_open_devices,
    assert_peers_in_group,
    assert_second_model_apart,
    needs_opened_devices,
)
from .launch import REFUSAL, Gpus, Launch, Shipped, mask

SPLITS = ((2, 2, 1), (2, 1, 2), (4, 1, 1))
"""Data, pipeline and tensor parallel: each needs four devices."""


def two_groups(launch: Launch, gpus: Gpus) -> tuple[LaunchRecord, int]:
    """Two groups on the last half of the devices, and how many each has; asked once more after the start, then idle."""
    given = gpus.last_half(at_least=2)
    size = len(given) // 2 if launch.profile.sizes_groups else 1
    return launch(visible=mask(given[: 2 * size], gpus), groups=2, devices=size, actions=(IDLE,)), size


@rule("ASN-001", MUST, sources=["sgl-project/sglang#8963", "pytorch/serve#950", "verl-project/verl#1096"], devices=4)
def test_groups_do_not_overlap(launch: Launch, gpus: Gpus) -> None:
    """Two groups of two get four different devices.

    Rank arithmetic goes wrong where a group has more than one device.
    """
    fleet, size = two_groups(launch, gpus)
    assert_groups_disjoint(fleet, gpus, size)


@rule(
    "ASN-002",
    MUST,
    sources=["pytorch/pytorch#135279", "meta-pytorch/torchcomms#777", "ggml-org/llama.cpp#14719"],
    devices=4,
)
def test_workers_keep_to_their_devices_while_they_serve(launch: Launch, gpus: Gpus) -> None:
    """After requests, and idle, no worker has a context on a device that is not its group's.

    The first request starts threads, and a thread without a device of its own uses the first visible one: half a
    gigabyte there for each rank, and an end in exclusive-process mode. Set the device in every thread, or show each
    worker its own devices only. What came of a longer time is seen with a longer [server].idle.
    """
    fleet, _ = two_groups(launch, gpus)
    assert_ready(fleet)
    needs_opened_devices(fleet)
    assert_nothing_leaks(fleet, gpus)


@rule(
    "ASN-003",
    SHOULD,
    sources=["rapidsai/dask-cuda#137", "sgl-project/sglang#40201", "NVIDIA/TransformerEngine#872"],
    devices=4,
)
def test_only_workers_open_devices(launch: Launch, gpus: Gpus) -> None:
    """Launcher, balancer and API process open no device; one that no group has, they MUST not open.

    Importing a library, or asking it for the number of devices, may open the first of them in a process that never
    computes. Ask in a child, and import late.
    """
    fleet, _ = two_groups(launch, gpus)
    assert_ready(fleet)
    needs_opened_devices(fleet)
    assert_only_workers_open_devices(fleet, gpus, allowed=launch.profile.supports.launcher_context)


@rule("ASN-004", MUST, sources=["SeldonIO/MLServer#1570", "triton-inference-server/vllm_backend#85"], devices=4)
def test_workers_do_not_share_a_device(launch: Launch, gpus: Gpus) -> None:
    """As many workers as devices: each has one of its own.

    A worker that binds cuda:0 without a mask of its own binds the first device, as all its siblings do.
    """
    given = gpus.last_half(at_least=2)
    fleet = launch(visible=mask(given, gpus), groups=len(given))
    assert_groups_disjoint(fleet, gpus, 1)


@rule(
    "ASN-005",
    MUST,
    sources=["sgl-project/sglang#10741", "sgl-project/sglang#8963", "flagos-ai/vllm-plugin-FL#380"],
    devices=4,
)
def test_groups_of_every_split_have_their_own_devices(launch: Launch, gpus: Gpus) -> None:
    """With data, pipeline and tensor parallelism in any mix, groups do not overlap, and each has as many as it needs.

    The first device of a replica is its number times the devices of a whole replica, pipeline stages included: where
    one factor is forgotten, replica 1 starts on a device of replica 0.
    """
    gpus.need(4)
    given = gpus.devices[-4:]
    fleets = [
        launch(
            visible=mask(given, gpus),
            groups=data,
            devices=pipeline * tensor,
            options=(Option.of("split", dp=data, pp=pipeline, tp=tensor),),
        )
        for data, pipeline, tensor in SPLITS
    ]
    assert_each(
        fleets,
        lambda fleet: assert_within(fleet, gpus),
        lambda fleet: assert_groups_disjoint(fleet, gpus, fleet.scenario.devices),
    )


@rule("ASN-006", MUST, sources=["allenai/olmo-eval#244", "gpustack/gpustack#5152"], devices=4)
def test_two_servers_on_one_machine_do_not_meet(launch: Launch, gpus: Gpus) -> None:
    """Two servers at the same time, each with devices of its own, have no device in common.

    A second server finds the machine in use, which no test of one server shows. Whatever it goes by (free memory, load,
    a lock file) chooses among the devices it was given.
    """
    given = gpus.last_half(at_least=2)
    count = len(given) // 2
    one, other = mask(given[:count], gpus), mask(given[count : 2 * count], gpus)
    fleet = launch(visible=one, total=count, actions=(Action.of("beside", visible=other),))
    assert_ready(fleet)
    [second] = fleet.beside
    assert_apart(fleet, second, gpus)
    assert_each([fleet, second], lambda each: assert_within(each, gpus), assert_ready)


@rule(
    "ASN-007",
    MUST,
    sources=["areal-project/AReaL#910", "abetlen/llama-cpp-python#1308", "pytorch/pytorch#80876"],
    devices=4,
)
def test_masks_are_set_before_cuda_starts(launch: Launch, gpus: Gpus) -> None:
    """The mask that a process has when it opens a device is the one that CUDA read when it started.

    CUDA reads the variable once, in cuInit. Set later, it changes nothing, and the process goes on with what it was
    shown before. Set the mask in the environment that the process is started with.
    """
    fleet, _ = two_groups(launch, gpus)
    assert_ready(fleet)
    needs_opened_devices(fleet)
    assert_masks_are_not_set_late(fleet, gpus)


@rule("ASN-008", SHOULD, sources=["dask/distributed#6749", "UKGovernmentBEIS/inspect_ai#1803"], devices=4)
def test_a_second_engine_has_devices_of_its_own(launch: Launch, gpus: Gpus) -> None:
    """Two engines that one process starts in turn each have their own part of what is visible.

    A launcher that writes the first engine's mask into its own environment has nothing else to give to the second.
    Copy the environment, and change the copy.
    """
    given = gpus.last_half(at_least=2)
    size = len(given) // 2
    visible = mask(given[: 2 * size], gpus)
    fleet = launch(visible=visible, groups=2, devices=size, options=(Option.of("engines"),))
    assert_within(fleet, gpus)
    assert_groups_disjoint(fleet, gpus, size)


@rule(
    "ASN-009",
    MUST,
    sources=["deepspeedai/DeepSpeed#5818", "huggingface/accelerate#663", "huggingface/accelerate#1848"],
    devices=4,
)
def test_the_device_flag_chooses_among_visible_devices(launch: Launch, gpus: Gpus) -> None:
    """A device flag inside the mask is honoured; one outside it is an error, and the device is never touched.

    Mask and flag are both the user's word, and the narrower one holds. Say what was visible, and which of it the flag
    can name.
    """
    given = gpus.last_half(at_least=2)[:2]

    def flagged(device: int, **more: Any) -> LaunchRecord:
        return launch(visible=mask(given, gpus), groups=1, options=(Option.of("device", device=device),), **more)

    ordinal = launch.profile.supports.device_flag == "ordinal"
    inside = flagged(1 if ordinal else given[1].index)
    assert_uses_exactly(inside, gpus, [given[1].uuid])
    outside = flagged(len(given) if ordinal else _outside(given, gpus).index, needs=REFUSAL)
    assert_within(outside, gpus)
    assert_refused(outside)


def _outside(given: tuple[Device, ...], gpus: Gpus) -> Device:
    return next(device for device in gpus.devices if device not in given)


@rule(
    "ASN-010",
    MUST,
    sources=["pytorch/serve#950", "xorbitsai/inference#1191", "triton-inference-server/server#6124"],
    devices=4,
)
def test_a_second_model_takes_no_other_groups_device(launch: Launch, gpus: Gpus) -> None:
    """A model that is loaded while the server runs stays within the mask, and shares no device that was not shared.

    What was placed with care at the start is often placed with a counter later. Where sharing is wanted, the profile
    says so ([supports].sharing).
    """
    if launch.profile.server.second_model is None:
        raise NotDeclared("[server].second_model", "the profile does not say how a second model is loaded")
    given = gpus.last_half(at_least=2)
    fleet = launch(visible=mask(given, gpus), groups=2, actions=(SECOND_MODEL,))
    assert_ready(fleet)
    if fleet.action_results[0].error:
        raise Unjudged(f"the second model could not be loaded: {fleet.action_results[0].error}")
    assert_within(fleet, gpus)
    if not launch.profile.supports.sharing:
        assert_second_model_apart(fleet, gpus)


@rule(
    "ASN-011",
    SHOULD,
    sources=["arrayfire/arrayfire#1004", "pytorch/pytorch#135279"],
    devices=4,
    inventories=("exclusive4",),
)
def test_one_process_a_device_is_enough(launch: Launch, shipped: Shipped) -> None:
    """On devices in exclusive-process mode, which admit one process each, the server starts with a worker on each.

    A second process with a context on a worker's device, for a moment even, is refused there. Measure and warm up in
    the worker itself.
    """
    gpus = shipped("exclusive4")
    fleet = launch(gpus=gpus, visible=mask(gpus.devices, gpus), total=len(gpus.devices))
    assert_ready(fleet)
    needs_opened_devices(fleet)


@rule("ASN-012", SHOULD, sources=["pytorch/pytorch#135279", "vllm-project/vllm#44556"], devices=4)
def test_peer_access_stays_in_the_group(launch: Launch, gpus: Gpus) -> None:
    """No worker lets a device of its group reach one outside it, or the other way round.

    Memory that is mapped for every visible device reserves room on each, and lets one group's fault reach another's.
    Give access to the devices of the group, by name.
    """
    fleet, _ = two_groups(launch, gpus)
    assert_ready(fleet)
    needs_opened_devices(fleet)
    assert_peers_in_group(fleet, gpus)
