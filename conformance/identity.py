"""IDN: a device is the same device however it is named, and lists keep their order."""

from __future__ import annotations

from pytest_gpuvisibility.verdicts import MUST, rule

from .expect import assert_groups_in_order, assert_uses_exactly
from .launch import Gpus, Launch, Shipped, mask, uuids


@rule("IDN-001", MUST, sources=["vllm-project/vllm#20939", "vllm-project/vllm#41848", "ray-project/ray#43314"])
def test_devices_can_be_named_by_uuid(launch: Launch, gpus: Gpus) -> None:
    """A mask of UUIDs names the devices that have them.

    Slurm, Kubernetes and HTCondor write UUIDs. `int(token)` ends in a traceback: a token is opaque.
    """
    given = gpus.last_half(at_least=2)[:2]
    fleet = launch(visible=",".join(uuids(given)), groups=2)
    assert_uses_exactly(fleet, gpus, uuids(given))


@rule("IDN-002", MUST, sources=["vllm-project/vllm#51677", "vllm-project/vllm#53570"])
def test_devices_can_be_named_by_the_beginning_of_a_uuid(launch: Launch, gpus: Gpus) -> None:
    """The beginning of a UUID, where it is unique, names the device; CUDA documents it.

    NVML does not know it: whoever asks NVML for the token finds nothing. Ask CUDA.
    """
    given = gpus.last_half()[0]
    fleet = launch(visible=gpus.inventory.unique_prefix(given), groups=1)
    assert_uses_exactly(fleet, gpus, [given.uuid])


@rule("IDN-005", MUST, sources=["unslothai/unsloth#11029", "deepspeedai/DeepSpeed#1712", "ray-project/ray#33159"])
def test_the_order_of_the_list_is_kept(launch: Launch, shipped: Shipped) -> None:
    """The first group gets the first device of the list, also where the list is not ascending.

    People put the biggest GPU first. Sorting the list gives the small one the big model.
    """
    gpus = shipped("mixed4")
    given = (gpus.devices[2], gpus.devices[1])
    visible = mask(given, gpus, order="PCI_BUS_ID")
    fleet = launch(gpus=gpus, visible=visible, device_order="PCI_BUS_ID", groups=2)
    assert_groups_in_order(fleet, gpus, uuids(given))


@rule("IDN-006", MUST, sources=["gpustack/gpustack#1633", "gpustack/gpustack#5152", "ollama/ollama#9722"])
def test_ordinals_are_read_in_cuda_order(launch: Launch, shipped: Shipped) -> None:
    """Without CUDA_DEVICE_ORDER, 0 is the device that CUDA calls 0: the fastest, not nvidia-smi's first.

    An index from nvidia-smi means another device to CUDA on a machine of unequal GPUs. Hand on UUIDs, or the mask's own
    entries.
    """
    gpus = shipped("mixed4")
    fleet = launch(gpus=gpus, visible="0", groups=1)
    assert_uses_exactly(fleet, gpus, fleet.permitted)


@rule("IDN-007", MUST, sources=["gpustack/gpustack#1633", "flux-framework/flux-core#1598", "ollama/ollama#9722"])
def test_ordinals_are_read_in_pci_order_where_asked(launch: Launch, shipped: Shipped) -> None:
    """Under CUDA_DEVICE_ORDER=PCI_BUS_ID, 0 is the first device on the bus.

    The variable must reach every worker, or the same number means two devices.
    """
    gpus = shipped("mixed4")
    fleet = launch(gpus=gpus, visible="0", device_order="PCI_BUS_ID", groups=1)
    assert_uses_exactly(fleet, gpus, [gpus.devices[0].uuid])
