"""TEL: what a server measures, sizes by and reports is of the devices that it was given."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_gpuvisibility.inventory import AnyDevice
from pytest_gpuvisibility.profile import Option
from pytest_gpuvisibility.records import LaunchRecord
from pytest_gpuvisibility.suite import MUST, SHOULD, DoesNotApply, Need, NotDeclared, rule

from .expect import assert_ready, assert_within, self_report, violation
from .launch import Gpus, Launch, Shipped, mask, sliced, unequal
from .lifecycle import devices_of, masked_pair, with_worker_kills


@rule(
    "TEL-001",
    MUST,
    sources=["ollama/ollama#7429", "Mesh-LLM/mesh-llm#1755", "talmolab/sleap#1028"],
    devices=4,
    inventories=("mixed4",),
)
def test_memory_is_that_of_the_visible_device(launch: Launch, gpus: Gpus, shipped: Shipped) -> None:
    """What the server plans for fits the device that it was given, not the first of the machine.

    NVML counts all GPUs, CUDA those that are visible: index 0 of one is not index 0 of the other. Ask CUDA for the
    memory (cuMemGetInfo), or NVML by the UUID that CUDA shows.
    """
    launch.needs_report("memory")
    machine = unequal(gpus, shipped)
    by_size = sorted(machine.devices[1:], key=lambda device: device.memory)
    for device in (by_size[0], by_size[-1]):
        visible = mask([device], machine, order="PCI_BUS_ID")
        fleet = launch(gpus=machine, visible=visible, device_order="PCI_BUS_ID")
        assert_sized_by(fleet, device, launch, machine)


@rule("TEL-002", MUST, sources=["vllm-project/vllm#41776", "kaito-project/kaito#2186"], devices=2, inventories=("mig",))
def test_memory_of_a_mig_slice_is_the_slices(launch: Launch, gpus: Gpus, shipped: Shipped) -> None:
    """On a MIG slice the server plans for the slice's memory, not for that of the GPU that it is cut from.

    The slice's UUID leads NVML to the GPU where one asks for the wrong handle. Ask CUDA for the memory.
    """
    launch.needs_report("memory")
    launch.claims("mig", "MIG devices")
    machine, slices = sliced(gpus, shipped, at_least=1)
    fleet = launch(gpus=machine, visible=slices[0].uuid)
    assert_sized_by(fleet, slices[0], launch, machine)


@rule(
    "TEL-003",
    MUST,
    sources=["ollama/ollama#18197", "ollama/ollama#7429", "talmolab/sleap#1028"],
    devices=4,
    inventories=("mixed4",),
)
def test_an_automatic_choice_stays_inside_the_mask(launch: Launch, gpus: Gpus, shipped: Shipped) -> None:
    """Told to choose by itself, the server takes a device of the mask, also where a bigger one is outside it.

    "The most free memory" is found by asking NVML, which shows every GPU. Ask about those that CUDA shows.
    """
    if "auto" not in launch.profile.server.options:
        name = launch.profile.product.name
        raise NotDeclared("[server.options].auto", f"the profile does not say how {name} chooses devices by itself")
    machine = unequal(gpus, shipped)
    by_size = sorted(machine.devices, key=lambda device: device.memory)
    given = sorted(by_size[:-1], key=lambda device: device.index)[-2:]
    visible = mask(given, machine, order="PCI_BUS_ID")
    fleet = launch(gpus=machine, visible=visible, device_order="PCI_BUS_ID", options=(Option("auto"),))
    assert_within(fleet, machine)
    assert_ready(fleet)


@rule("TEL-004", MUST, sources=["NordicHPC/sonar#72"], devices=8, inventories=("sick8",), needs=(Need.WORKERS,))
def test_a_sick_gpu_that_was_not_given_does_no_harm(launch: Launch, shipped: Shipped) -> None:
    """Where a GPU outside the mask fails every NVML call, the server starts on those inside it, and stays healthy.

    Whoever asks NVML about every GPU of the machine fails with the one that is broken, and that is not theirs.
    """
    gpus = shipped("sick8")
    fleet = launch(gpus=gpus, visible=mask(gpus.devices[2:4], gpus), total=2)
    assert_within(fleet, gpus)
    if fleet.outcome != "unanswered":
        assert_ready(fleet)
    failed = {group: answer for group, answer in fleet.requests.items() if answer != "answered"}
    if failed or not fleet.says_ready:
        facts = [f"group {group}: {answer}" for group, answer in failed.items()]
        raise violation(fleet, "is not healthy beside a sick GPU", *facts, "health: " + str(fleet.says_ready))


@rule("TEL-005", SHOULD, sources=["dask/distributed#3810", "triton-inference-server/server#1567"], devices=2)
def test_metrics_are_of_the_devices_that_were_given(launch: Launch, gpus: Gpus) -> None:
    """The metrics speak of the devices inside the mask and of no other, and name them by UUID.

    A dashboard that adds up eight GPUs for a job on two is wrong, and a label "0" means another GPU on each side of a
    mask. NVML's own index is neither CUDA's nor the user's.
    """
    launch.needs_report("metrics")
    fleet = masked_pair(launch, gpus)
    assert_ready(fleet)
    labels = list(dict.fromkeys(found["device"] for found in self_report(fleet, "metrics", launch).found))
    devices = {label: gpus.named(label) for label in labels}
    unknown_processes = [
        label for label, device in devices.items() if device is not None and device.uuid not in fleet.permitted
    ]
    if unknown_processes or len(labels) > len(fleet.permitted):
        raise violation(
            fleet,
            "reports GPUs it was not given",
            f"permitted {gpus.indices(fleet.permitted)}, metrics of {' '.join(labels)}",
        )
    numbers = [label for label, device in devices.items() if device is None]
    if numbers:
        raise violation(
            fleet, "labels its metrics with numbers that mean nothing outside", f"labels {' '.join(numbers)}"
        )


@rule(
    "TEL-006",
    SHOULD,
    sources=["vllm-project/vllm#4233", "rapidsai/dask-cuda#671", "NVIDIA/TensorRT-LLM#12985"],
    devices=4,
    inventories=("mixed4",),
)
def test_nvml_is_asked_about_the_devices_that_were_given(launch: Launch, gpus: Gpus, shipped: Shipped) -> None:
    """For memory, links and processors near by, NVML is asked about the devices inside the mask.

    An ordinal of CUDA is no index of NVML: under a mask the answer is about somebody else's GPU, and worker and memory
    end up on the wrong socket. Get the handle by UUID or PCI bus id. Listing every GPU is allowed.
    """
    machine = unequal(gpus, shipped)
    device = max(machine.devices[1:], key=lambda device: device.memory)
    visible = mask([device], machine, order="PCI_BUS_ID")
    fleet = launch(gpus=machine, visible=visible, device_order="PCI_BUS_ID")
    assert_ready(fleet)
    if all(process.account.asked is None for process in fleet.processes):
        raise DoesNotApply("nobody recorded what NVML was asked; the ledger of a simulated machine does")
    for process in fleet.processes:
        for uuid, kind in process.account.asked or ():
            if uuid not in fleet.permitted:
                fact = f"{process.role} asked for {KINDS[kind]} of GPU {machine.indices([uuid])}"
                raise violation(
                    fleet,
                    "decides by a GPU that it was not given",
                    f"permitted {machine.indices(fleet.permitted)}, {fact}",
                )


@rule("TEL-007", SHOULD, sources=["xorbitsai/inference#1191", "pytorch/pytorch#94472"], devices=2)
def test_the_device_that_is_reported_is_the_one_in_use(launch: Launch, gpus: Gpus) -> None:
    """Which device the server says that a worker has is the one that the worker uses, also after it was started again.

    People kill processes by that number. Ask the worker for the UUID of what it uses, instead of looking up what it
    was meant to have.
    """
    launch.needs_report("workers")
    fleet, kills = with_worker_kills(launch, gpus)
    pids = {str(worker.group): worker.pid for worker in fleet.workers if worker.group is not None}
    pids |= {str(kills[0].group): kills[0].pid}
    assert_reported(fleet, gpus, self_report(fleet, "workers", launch).found, pids)
    for kill in kills:
        if kill.replacement is not None:
            assert_reported(fleet, gpus, kill.said, {str(kill.group): kill.replacement})


def assert_reported(fleet: LaunchRecord, gpus: Gpus, said: Sequence[dict[str, str]], pids: dict[str, int]) -> None:
    """What was said last of each of these groups is what its worker uses."""
    last = {found["group"]: found["device"] for found in said if "group" in found}
    for group, pid in pids.items():
        labels = re.split(r"[,\s]+", last.get(group, "").strip())
        used = devices_of(fleet, pid)
        if not any(labels) or not _means(labels, used, fleet, gpus):
            reported = " ".join(map(gpus.title, labels)) or "nothing"
            raise violation(
                fleet,
                "reports another GPU than it uses",
                f"worker {group} uses {gpus.indices(used)}, reported: {reported}",
            )


def _means(labels: Sequence[str], used: set[str], fleet: LaunchRecord, gpus: Gpus) -> bool:
    """Whether the labels name these devices, by UUID or PCI bus id, or by a number counted in any way."""
    named = [gpus.named(label) for label in labels]
    if None not in named:
        return {device.uuid for device in named if device is not None} == used
    numbers = set(labels)
    physical = {str(gpus.inventory.by_uuid(uuid).index) for uuid in used}
    relative = {str(position) for position, uuid in enumerate(fleet.permitted) if uuid in used}
    return numbers in (physical, relative)


KINDS = {"memory": "the memory", "topology": "the neighbours", "affinity": "the processors"}


def assert_sized_by(fleet: LaunchRecord, device: AnyDevice, launch: Launch, gpus: Gpus) -> None:
    """Ready; what it says that the device has is nearer to that device's memory than to any other's; what it plans is
    no more than that.
    """
    assert_ready(fleet)
    said = self_report(fleet, "memory", launch)
    sizes = {unit.memory for unit in gpus.inventory.units}
    for _, total in said.sizes("total"):
        nearest = min(sizes, key=lambda size: abs(size - total))
        if nearest != device.memory:
            raise violation(fleet, "sizes by the memory of another GPU", _compare_sizes(device, total, "believes in"))
    for _, planned in said.sizes("planned"):
        if planned > device.memory:
            raise violation(fleet, "plans for more memory than its GPU has", _compare_sizes(device, planned, "plans"))


def _compare_sizes(device: AnyDevice, size: int, verb: str) -> str:
    return f"its device has {device.memory >> 20} MiB, it {verb} {size >> 20} MiB"
