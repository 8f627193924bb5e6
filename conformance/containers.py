"""CTR: containers renumber devices, expose too many, and leave things out; MIG slices are devices too."""

from __future__ import annotations

from pytest_gpuvisibility.environment import CONTAINER_MASK
from pytest_gpuvisibility.suite import MUST, SHOULD, rule

from .expect import (
    assert_as_driver,
    assert_each,
    assert_groups_disjoint,
    assert_no_traceback,
    assert_not_a_bare_error,
    assert_ready,
    assert_uses_exactly,
    assert_within,
    violation,
)
from .launch import Gpus, Launch, Shipped, mask, renumbered, sliced, uuids

EXPOSED = ("all", "void")
"""Values of NVIDIA_VISIBLE_DEVICES that are no list."""


@rule(
    "CTR-001",
    MUST,
    sources=["NVIDIA/nvidia-container-toolkit#73", "GoogleCloudPlatform/container-engine-accelerators#72"],
    devices=2,
    inventories=("container",),
)
def test_devices_are_counted_from_0_inside_a_container(launch: Launch, gpus: Gpus, shipped: Shipped) -> None:
    """In a container that was given the host's GPUs 1 and 3, the server uses both, as 0 and 1.

    CUDA counts what is there. The device nodes keep their numbers, /dev/nvidia1 and /dev/nvidia3: whoever takes those
    for ordinals asks for devices that do not exist. Ask CUDA how many there are, and name them by UUID.
    """
    inside = renumbered(gpus, shipped)
    fleet = launch(gpus=inside, total=2, device_nodes=True)
    assert_uses_exactly(fleet, inside, uuids(inside.devices[:2]))


@rule(
    "CTR-002",
    MUST,
    sources=["NVIDIA/nvidia-container-toolkit#73", "guilbaults/slurm-job-exporter#63"],
    devices=2,
    inventories=("container",),
)
def test_the_containers_own_variable_is_no_list_of_ordinals(launch: Launch, gpus: Gpus, shipped: Shipped) -> None:
    """NVIDIA_VISIBLE_DEVICES=1,3 is how the host chose the container's devices; inside, they are 0 and 1.

    The variable is for the container runtime, and speaks of the host. CUDA does not read it, and neither should a
    server: what it was given is what CUDA shows.
    """
    inside = renumbered(gpus, shipped)
    chosen = ",".join(str(device.minor) for device in inside.devices)
    fleet = launch(gpus=inside, total=2, device_nodes=True, environ=((CONTAINER_MASK, chosen),))
    assert_uses_exactly(fleet, inside, uuids(inside.devices[:2]))


@rule(
    "CTR-003",
    MUST,
    sources=["NVIDIA/k8s-device-plugin#87", "ray-project/ray#20265", "bottlerocket-os/bottlerocket#3718"],
    devices=3,
)
def test_a_container_with_every_device_still_obeys_the_mask(launch: Launch, gpus: Gpus) -> None:
    """Where every device node is exposed and NVIDIA_VISIBLE_DEVICES says all, the mask still decides.

    A privileged container sees the whole host. CUDA_VISIBLE_DEVICES is then all that keeps jobs apart, and neither
    "all" nor "void" widens it.
    """
    given = gpus.every_other(2)[1:]
    simulated = launch.launcher.hardware is None  # a real machine's nodes are all there
    fleets = [
        launch(visible=mask(given, gpus), device_nodes=simulated, environ=((CONTAINER_MASK, exposed),))
        for exposed in EXPOSED
    ]
    assert_each(fleets, lambda fleet: assert_uses_exactly(fleet, gpus, uuids(given)))


@rule(
    "CTR-004",
    MUST,
    sources=["replicate/dreambooth#30", "sgl-project/sglang#2933", "ray-project/ray#28064"],
    devices=2,
    inventories=("a100x2",),
)
def test_nvidia_smi_is_not_needed(launch: Launch, shipped: Shipped) -> None:
    """Where there is no nvidia-smi on PATH, the server starts all the same.

    It is a tool for people; slim images leave it out. The CUDA runtime says how many devices there are.
    """
    gpus = shipped("a100x2")
    fleet = launch(gpus=gpus, total=2, nvidia_smi=False)
    assert_within(fleet, gpus)
    assert_ready(fleet)


@rule(
    "CTR-005",
    SHOULD,
    sources=["sgl-project/sglang#2933", "ray-project/ray#59265", "kaito-project/kaito#2186"],
    devices=2,
    inventories=("a100x2",),
)
def test_without_nvml_the_server_starts_or_says_why_not(launch: Launch, shipped: Shipped) -> None:
    """Where NVML is missing or answers "Insufficient Permissions", the server starts, or ends with a clear error.

    Containers and hardened hosts have CUDA without NVML. What NVML tells (load, temperature, neighbours) is worth
    having, and no reason to die in a traceback.
    """
    gpus = shipped("a100x2")
    fleets = [launch(gpus=gpus, total=2, faults=(fault,)) for fault in ("nvml-missing", "nvml-no-permission")]
    for fleet in fleets:
        assert_within(fleet, gpus)
        if fleet.outcome == "timeout":
            raise violation(fleet, "hangs without NVML", f"neither ready nor ended after {fleet.seconds:.0f} s")
        if not fleet.ready and fleet.exit_code == 0:
            raise violation(fleet, "ends with exit code 0 although it served nothing", "exit code 0")
        assert_no_traceback(fleet)


@rule(
    "CTR-006",
    MUST,
    sources=["vllm-project/vllm#41848", "pytorch/pytorch#95784", "ollama/ollama#14031"],
    devices=2,
    inventories=("mig",),
)
def test_a_mig_slice_is_a_device(launch: Launch, gpus: Gpus, shipped: Shipped) -> None:
    """A mask that names a MIG slice by its UUID gives the server that slice.

    It is how Kubernetes and Slurm hand out slices. The token is opaque, like any UUID: count with CUDA, and hand it on
    as it is.
    """
    launch.claims("mig", "MIG devices")
    machine, slices = sliced(gpus, shipped, at_least=1)
    fleet = launch(gpus=machine, visible=slices[0].uuid)
    assert_uses_exactly(fleet, machine, [slices[0].uuid])


@rule("CTR-007", MUST, sources=["ollama/ollama#4814", "NVIDIA/k8s-device-plugin#446"], devices=2, inventories=("mig",))
def test_each_worker_has_a_mig_slice_of_its_own(launch: Launch, gpus: Gpus, shipped: Shipped) -> None:
    """Given two MIG slices and asked for two groups of one, each worker has one slice.

    Some drivers show a process one slice only, whatever is listed: a server may then refuse. It may not put both
    workers on the first.
    """
    launch.claims("mig", "MIG devices")
    machine, slices = sliced(gpus, shipped, at_least=2)
    fleet = launch(gpus=machine, visible=",".join(unit.uuid for unit in slices[:2]), groups=2)
    assert_within(fleet, machine)
    assert_as_driver(fleet, machine, 2)
    if fleet.ready:
        assert_groups_disjoint(fleet, machine, 1)


@rule("CTR-008", MUST, sources=["ollama/ollama#4814", "NVIDIA/k8s-device-plugin#446"], devices=2, inventories=("mig",))
def test_one_process_over_two_mig_slices_is_refused_or_works(launch: Launch, gpus: Gpus, shipped: Shipped) -> None:
    """Given two MIG slices and asked for one group of two, the server refuses clearly, or has both.

    Before R570 a process can use one slice; newer drivers are documented to allow more. Compare what was asked for with
    what CUDA shows: half of the devices, without a word, is neither.
    """
    launch.claims("mig", "MIG devices")
    machine, slices = sliced(gpus, shipped, at_least=2)
    fleet = launch(gpus=machine, visible=",".join(unit.uuid for unit in slices[:2]), devices=2)
    assert_as_driver(fleet, machine, 2)
    assert_not_a_bare_error(fleet)


@rule("CTR-009", SHOULD, sources=["vllm-project/vllm#41848", "pytorch/pytorch#92315"], devices=2, inventories=("mig",))
def test_old_and_mixed_names_of_mig_slices_mean_what_cuda_says(launch: Launch, gpus: Gpus, shipped: Shipped) -> None:
    """The form MIG-GPU-<uuid>/<gi>/<ci> names a slice too, and after a GPU's UUID a slice's ends the list.

    Old schedulers write the one, people the other. Hand the mask to CUDA instead of reading it, and believe its answer.
    """
    launch.claims("mig", "MIG devices")
    machine, slices = sliced(gpus, shipped, at_least=1)
    [unit, *_] = slices
    old = launch(gpus=machine, visible=f"MIG-{unit.parent_uuid}/{unit.gpu_instance}/{unit.compute_instance}")
    assert_as_driver(old, machine, 1)
    whole = [device for device in machine.devices if not device.mig_enabled]
    if whole and launch.profile.division != "visible":
        assert_as_driver(launch(gpus=machine, visible=f"{whole[0].uuid},{unit.uuid}", total=2), machine, 2)
