"""IDN: a device is the same device however it is named, and lists keep their order."""

from __future__ import annotations

from pytest_gpuvisibility.profile import Option
from pytest_gpuvisibility.records import LaunchRecord
from pytest_gpuvisibility.suite import MUST, SHOULD, NotDeclared, rule

from .expect import (
    assert_as_driver,
    assert_groups_in_order,
    assert_not_a_bare_error,
    assert_ready,
    assert_uses_exactly,
    assert_within,
    evidence,
    groups,
    self_report,
    violation,
)
from .launch import REFUSAL, Gpus, Launch, Shipped, mask, uuids
from .masks import Masks


def named_by_uuid(launch: Launch, gpus: Gpus) -> tuple[LaunchRecord, tuple[str, ...]]:
    """Two groups of one under a mask of two UUIDs, and these."""
    launch.claims("uuid", "masks of UUIDs")
    given = uuids(gpus.last_half(at_least=2)[:2])
    return launch(visible=",".join(given), total=2), given


@rule(
    "IDN-001", MUST, sources=["vllm-project/vllm#20939", "vllm-project/vllm#41848", "ray-project/ray#43314"], devices=4
)
def test_devices_can_be_named_by_uuid(launch: Launch, gpus: Gpus) -> None:
    """A mask of UUIDs names the devices that have them.

    Slurm, Kubernetes and HTCondor write UUIDs. `int(token)` ends in a traceback: a token is opaque.
    """
    fleet, given = named_by_uuid(launch, gpus)
    assert_uses_exactly(fleet, gpus, given)


@rule("IDN-002", MUST, sources=["vllm-project/vllm#51677", "vllm-project/vllm#53570"], devices=2)
def test_devices_can_be_named_by_the_beginning_of_a_uuid(launch: Launch, gpus: Gpus) -> None:
    """The beginning of a UUID, where it is unique, names the device; CUDA documents it.

    NVML does not know it: whoever asks NVML for the token finds nothing. Ask CUDA.
    """
    launch.claims("uuid", "masks of UUIDs")
    given = gpus.last_half()[0]
    fleet = launch(visible=gpus.inventory.unique_prefix(given), groups=1)
    assert_uses_exactly(fleet, gpus, [given.uuid])


@rule("IDN-003", MUST, sources=["vllm-project/vllm#51677", "vllm-project/vllm#53570"], devices=2, needs=REFUSAL)
def test_the_beginning_of_two_uuids_names_neither(launch: Launch, gpus: Gpus) -> None:
    """The beginning that the UUIDs of two devices share names no device; it is not the first that matches.

    CUDA asks for a unique beginning, and shows nothing otherwise. A server that takes the first match runs on somebody
    else's GPU in half of the cases.
    """
    fleet = launch(visible=Masks(gpus.inventory).shared_prefix, groups=1)
    assert_within(fleet, gpus)
    assert_as_driver(fleet, gpus, 1)


@rule("IDN-004", SHOULD, sources=["vllm-project/vllm#20939", "uber/neuropod#337"], devices=4, needs=REFUSAL)
def test_a_list_of_ordinals_and_uuids_is_read_as_cuda_reads_it(launch: Launch, gpus: Gpus) -> None:
    """In a list that mixes both, such as 0,GPU-904d…, the first entry decides what kind the others must be.

    CUDA ends the list where the kind changes: one device is visible, and two cannot be used. Do not read such a list;
    ask CUDA what it shows.
    """
    other = gpus.last_half(at_least=2)[1]
    fleet = launch(visible=f"0,{other.uuid}", total=2)
    assert_within(fleet, gpus)
    assert_as_driver(fleet, gpus, 2)


@rule(
    "IDN-005",
    MUST,
    sources=["unslothai/unsloth#11029", "deepspeedai/DeepSpeed#1712", "ray-project/ray#33159"],
    devices=4,
    inventories=("mixed4",),
)
def test_the_order_of_the_list_is_kept(launch: Launch, shipped: Shipped) -> None:
    """The first group gets the first device of the list, also where the list is not ascending.

    People put the biggest GPU first. Sorting the list gives the small one the big model.
    """
    launch.claims("order", "the order of a mask")
    if not launch.profile.workers.worker.numbered:
        words = "nothing says which worker is the first: the order in which they start is no order of groups"
        raise NotDeclared("[workers].worker with (?P<group>...) or (?P<port>...)", words)
    gpus = shipped("mixed4")
    given = (gpus.devices[2], gpus.devices[1])
    visible = mask(given, gpus, order="PCI_BUS_ID")
    fleet = launch(gpus=gpus, visible=visible, device_order="PCI_BUS_ID", groups=2)
    assert_groups_in_order(fleet, gpus, uuids(given))


@rule(
    "IDN-006",
    MUST,
    sources=["gpustack/gpustack#1633", "gpustack/gpustack#5152", "ollama/ollama#9722"],
    devices=4,
    inventories=("mixed4",),
)
def test_ordinals_are_read_in_cuda_order(launch: Launch, shipped: Shipped) -> None:
    """Without CUDA_DEVICE_ORDER, 0 is the device that CUDA calls 0: the fastest, not nvidia-smi's first.

    An index from nvidia-smi means another device to CUDA on a machine of unequal GPUs. Hand on UUIDs, or the mask's own
    entries.
    """
    gpus = shipped("mixed4")
    fleet = launch(gpus=gpus, visible="0", groups=1)
    assert_uses_exactly(fleet, gpus, fleet.permitted)


@rule(
    "IDN-007",
    MUST,
    sources=["gpustack/gpustack#1633", "flux-framework/flux-core#1598", "ollama/ollama#9722"],
    devices=4,
    inventories=("mixed4",),
)
def test_ordinals_are_read_in_pci_order_where_asked(launch: Launch, shipped: Shipped) -> None:
    """Under CUDA_DEVICE_ORDER=PCI_BUS_ID, 0 is the first device on the bus.

    The variable must reach every worker, or the same number means two devices.
    """
    gpus = shipped("mixed4")
    fleet = launch(gpus=gpus, visible="0", device_order="PCI_BUS_ID", groups=1)
    assert_uses_exactly(fleet, gpus, [gpus.devices[0].uuid])


@rule(
    "IDN-008",
    MUST,
    sources=["THUDM/slime#1326", "triton-inference-server/server#1567", "gpustack/gpustack#2484"],
    devices=3,
)
def test_the_device_flag_means_what_is_documented(launch: Launch, gpus: Gpus) -> None:
    """With devices 1 and 2 visible, the server's device flag with the value 1 means one of them, and always the same.

    A position in the list: then it is physical 2. nvidia-smi's index: then it is physical 1. Both are legal where they
    are documented ([supports].device_flag). Applying mask and flag one after the other ends in "invalid device
    ordinal", or on the neighbour's GPU.
    """
    gpus.need(3)
    given = gpus.devices[1:3]
    fleet = launch(visible=mask(given, gpus), groups=1, options=(Option.of("device", device=1),))
    assert_not_a_bare_error(fleet)
    assert_ready(fleet)
    meant = given[1] if launch.profile.supports.device_flag == "ordinal" else given[0]
    assert_uses_exactly(fleet, gpus, [meant.uuid])


@rule("IDN-009", SHOULD, sources=["xorbitsai/inference#1191", "vllm-project/vllm#47892"], devices=4)
def test_the_server_says_which_worker_has_which_device(launch: Launch, gpus: Gpus) -> None:
    """The log or an interface names the device of each worker by UUID or PCI bus id, and it is the one in use.

    "cuda:0" is the name of a different GPU in every process. An operator who sees one of eight GPUs full needs to know
    whose it is.
    """
    launch.needs_report("workers")
    fleet, _ = named_by_uuid(launch, gpus)
    assert_ready(fleet)
    used = groups(fleet)
    said: dict[str | None, set[str]] = {}
    for found in self_report(fleet, "workers", launch).found:
        said.setdefault(found.get("group"), set()).add(found["device"])
    for group, devices in used.items():
        named = {device.uuid for label in said.get(str(group), ()) if (device := gpus.named(label)) is not None}
        if named != devices:
            raise violation(
                fleet,
                "does not say which worker has which GPU",
                f"worker {group} uses {gpus.indices(devices)} ({evidence(fleet)}); it is said to have"
                f" {', '.join(sorted(said.get(str(group), ()))) or 'nothing'}",
            )
