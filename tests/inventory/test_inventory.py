"""Inventories: the ones that ship, mistakes in one's own, and the real machine's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_gpuvisibility import Inventory, UserError
from pytest_gpuvisibility.inventory import nvml as inventory_nvml
from pytest_gpuvisibility.inventory.cuda_order import CudaDevice
from pytest_gpuvisibility.resources import shipped_directory
from pytest_gpuvisibility.simulator import Machine
from pytest_gpuvisibility.simulator.native import NativeLibraryMissing

DEVICE = """
[[device]]
uuid = "GPU-5f1ce952-d417-4541-a323-cf2f078b0ef9"
pci_bus_id = "00000000:07:00.0"
name = "NVIDIA A100-SXM4-80GB"
memory_mib = 81920
compute_capability = "8.0"
multiprocessors = 108
"""
SECOND = DEVICE.replace("5f1ce952", "fb1d2e4a").replace("07:00", "0F:00")
SLICE = """
[[device.mig]]
uuid = "MIG-af8abf41-fce2-5c8a-ba1d-a4dc67253d6e"
gpu_instance = 1
compute_instance = 0
profile = "3g.40gb"
memory_mib = 40192
multiprocessors = 42
"""
OTHER_SLICE = SLICE.replace("af8abf41", "37ccaf66")


def load(folder: Path, text: str) -> Inventory:
    path = folder / "machine.toml"
    path.write_text('name = "machine"\n' + text, "utf-8")
    return Inventory.load(path)


def test_the_shipped_inventories_are_there_and_sound() -> None:
    shipped = {name: Inventory.load(name) for name in Inventory.names()}
    assert set(shipped) == {
        *("none", "a100x1", "a100x2", "a100x4", "a100x8", "h100x8"),
        *("mixed4", "mig", "mig-bare", "container", "sick8", "exclusive4"),
    }
    assert all(inventory.name == name and inventory.description for name, inventory in shipped.items())
    assert [len(shipped[name].devices) for name in ("none", "h100x8", "mixed4", "mig", "container")] == [
        0,
        8,
        4,
        2,
        2,
    ]


def test_smaller_a100_machines_are_the_first_gpus_of_the_large_one() -> None:
    eight = Inventory.load("a100x8").devices
    for count in (1, 2, 4):
        assert Inventory.load(f"a100x{count}").devices == eight[:count]


def test_the_container_shows_two_gpus_of_its_host_under_new_indices() -> None:
    host = Inventory.load("a100x8")
    assert Inventory.load("container").devices == host.restricted_to(minors=[3, 1]).devices
    assert host.restricted_to(indices=[1, 3]).devices == host.restricted_to(minors=[1, 3]).devices


def test_a_restricted_mig_gpu_keeps_its_slices_under_its_new_index() -> None:
    inside = Inventory.load("mig").restricted_to(indices=[1])
    assert [unit.index for unit in inside.units] == [0, 0, 0]


@pytest.mark.parametrize("arguments", [{}, {"minors": [0], "indices": [0]}, {"minors": [9]}, {"indices": [0, 4]}])
def test_restricting_to_gpus_that_are_not_there_is_a_mistake(arguments: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"minor|index|indices"):
        Inventory.load("a100x4").restricted_to(**arguments)


def test_unequal_gpus_have_another_order_for_cuda_than_for_pci() -> None:
    mixed = Inventory.load("mixed4")
    assert [device.memory >> 20 for device in mixed.devices] == [24564, 16376, 81920, 46068]
    assert [device.index for device in mixed.fastest_first] == [2, 0, 3, 1]
    assert [device.index for device in mixed.in_pci_order] == [0, 1, 2, 3]


def test_names_are_short_where_people_read_them() -> None:
    shown = {unit.short_name for name in ("mixed4", "mig", "h100x8") for unit in Inventory.load(name).units}
    assert shown == {"RTX 4090", "RTX 4080", "A100", "L40S", "A100 MIG 3g.40gb", "H100"}


def test_unique_prefixes_are_unique_even_where_uuids_begin_alike() -> None:
    inventory = Inventory.load("a100x8")
    prefixes = [inventory.unique_prefix(device) for device in inventory.devices]
    assert prefixes[6][:8] == prefixes[7][:8], "GPU 6 and 7 are there to make a prefix ambiguous"
    for device, prefix in zip(inventory.devices, prefixes, strict=True):
        assert [other for other in inventory.devices if other.uuid.startswith(prefix)] == [device]


def test_devices_and_slices_are_found_by_uuid() -> None:
    inventory = Inventory.load("mig")
    assert [inventory.by_uuid(unit.uuid) for unit in inventory.units] == list(inventory.units)
    with pytest.raises(UserError, match="has no device 'GPU-1'"):
        inventory.by_uuid("GPU-1")


def test_a_file_needs_no_more_than_what_tells_gpus_apart(tmp_path: Path) -> None:
    inventory = load(tmp_path, DEVICE + SECOND + SLICE)
    first, second = inventory.devices
    assert (first.index, first.minor, first.compute_mode, first.mig_enabled) == (0, 0, "default", False)
    assert (second.index, second.minor, second.mig_enabled) == (1, 1, True)
    assert second.mig[0].parent_uuid == second.uuid
    assert inventory.origin == str(tmp_path / "machine.toml")


MISTAKES = {
    "unknown key": (DEVICE + "memory_mb = 1\n", ["device 0", "memory_mb", "memory_mib"]),
    "unknown top-level key": ("drivers = 1\n" + DEVICE, ["drivers", "driver_version"]),
    "unknown slice key": (DEVICE + SLICE + "gpu_instances = 1\n", ["slice 0", "gpu_instances"]),
    "missing key": (DEVICE.replace("memory_mib = 81920\n", ""), ["device 0", "lacks", "memory_mib"]),
    "wrong type": (DEVICE.replace("81920", '"81920"'), ["memory_mib = '81920'", "whole number"]),
    "a flag for a number": (DEVICE.replace("108", "true"), ["multiprocessors = True", "whole number"]),
    "capability as a number": (DEVICE.replace('"8.0"', "8.0"), ["compute_capability = 8.0", '"8.0"']),
    "malformed UUID": (DEVICE.replace("5f1ce952", "5F1CE952"), ["GPU-5F1CE952", "lower-case"]),
    "malformed bus id": (DEVICE.replace("00000000:07", "07"), ["07:00.0", "00000000:07:00.0"]),
    "unknown fault": (DEVICE + 'faults = ["tired"]\n', ["tired", "nvml-unknown"]),
    "fault of a GPU": ('faults = ["lost"]\n' + DEVICE, ["the file", "lost", "driver-not-loaded", "nvml-missing"]),
    "unknown mode": (DEVICE + 'compute_mode = "shared"\n', ["shared", "exclusive-process"]),
    "name on two lines": (DEVICE.replace("A100-", "A100\\n"), ["name = ", "printable"]),
    "negative speed": (DEVICE + "relative_speed = -1\n", ["relative_speed = -1", "above 0"]),
    "device is no list": ("device = 3\n", ["device = 3", "list of tables"]),
    "duplicate UUID": (
        DEVICE + SECOND.replace("fb1d2e4a", "5f1ce952"),
        ["GPU 0 and GPU 1", "UUID GPU-5f1ce952"],
    ),
    "duplicate bus id": (DEVICE + SECOND.replace("0F:00", "07:00"), ["GPU 0 and GPU 1", "00000000:07:00.0"]),
    "duplicate minor": (DEVICE + SECOND + "minor = 0\n", ["GPU 0 and GPU 1", "minor number 0"]),
    "not in PCI order": (SECOND + DEVICE, ["GPU 1 at 00000000:07:00.0", "ascending"]),
    "duplicate slice": (
        DEVICE + SLICE + OTHER_SLICE,
        ["device 0", "gpu_instance = 1", "compute_instance = 0"],
    ),
    "slices without MIG": (DEVICE + "mig_enabled = false\n" + SLICE, ["mig_enabled = false"]),
    "not TOML": ("device = [", ["TOML"]),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_a_file_is_named_with_its_place_and_what_is_allowed(tmp_path: Path, what: str) -> None:
    text, parts = MISTAKES[what]
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert "machine.toml" in message
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_more_gpus_than_there_is_room_for_are_refused(tmp_path: Path) -> None:
    many = (
        DEVICE.replace("5f1ce952", f"{number:08x}").replace("00000000:07", f"{number:08x}:07") for number in range(65)
    )
    with pytest.raises(UserError, match="65 GPUs; at most 64"):
        load(tmp_path, "".join(many))


@pytest.mark.parametrize(
    ("name", "part"), [("a100x9", "Did you mean a100x8?"), ("no/such.toml", "mixed4"), ("\0", "TOML")]
)
def test_an_inventory_that_is_not_there_is_a_mistake_that_names_those_that_are(name: str, part: str) -> None:
    with pytest.raises(UserError) as caught:
        Inventory.load(name)
    assert part in str(caught.value)


def test_a_folder_that_does_not_ship_is_explained() -> None:
    with pytest.raises(UserError, match="installation is incomplete"):
        shipped_directory("furniture")


class FakeNVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"error {value}")
        self.value = value


class FakeNvml(SimpleNamespace):
    """pynvml, answering for an inventory; what it lacks the driver does not support."""

    NVMLError = FakeNVMLError
    NVML_ERROR_NO_PERMISSION, NVML_ERROR_GPU_IS_LOST, NVML_CLOCK_SM = 4, 15, 1
    NVML_COMPUTEMODE_DEFAULT, NVML_COMPUTEMODE_PROHIBITED, NVML_COMPUTEMODE_EXCLUSIVE_PROCESS = 0, 2, 3
    NVML_DEVICE_MIG_ENABLE = 1

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvml"):
            raise AttributeError(name)

        def unsupported(*_: object) -> Any:
            raise FakeNVMLError(3)

        return unsupported


def pretend(
    monkeypatch: pytest.MonkeyPatch, inventory: Inventory, cuda: tuple[CudaDevice, ...] | None = None
) -> FakeNvml:
    """Put the inventory behind NVML; ``cuda`` is what CUDA enumerates, None where it does not answer."""
    devices = inventory.devices

    def handle(index: int) -> Any:
        if devices[index].faults:
            raise FakeNVMLError({"lost": 15, "nvml-no-permission": 4}.get(min(devices[index].faults), 999))
        return devices[index]

    nvml = FakeNvml(
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlSystemGetDriverVersion=lambda: b"580.95.05",
        nvmlSystemGetCudaDriverVersion_v2=lambda: 13000,
        nvmlDeviceGetCount=lambda: len(devices),
        nvmlDeviceGetHandleByIndex=handle,
        nvmlDeviceGetUUID=lambda unit: unit.uuid,
        nvmlDeviceGetPciInfo=lambda unit: SimpleNamespace(busId=unit.pci_bus_id.encode()),
        nvmlDeviceGetName=lambda unit: unit.name,
        nvmlDeviceGetMemoryInfo=lambda unit: SimpleNamespace(total=unit.memory),
        nvmlDeviceGetMinorNumber=lambda unit: unit.minor,
        nvmlDeviceGetCudaComputeCapability=lambda unit: unit.compute_capability,
        nvmlDeviceGetNumGpuCores=lambda unit: unit.multiprocessors * (64 if unit.compute_capability == (8, 0) else 128),
        nvmlDeviceGetMaxClockInfo=lambda unit, kind: 1000,
        nvmlDeviceGetComputeMode=lambda unit: 3 if unit.compute_mode == "exclusive-process" else 0,
        nvmlDeviceGetMigMode=lambda unit: (int(unit.mig_enabled), 0),
        nvmlDeviceGetMaxMigDeviceCount=lambda unit: 7,
        nvmlDeviceGetMigDeviceHandleByIndex=lambda unit, index: unit.mig[index] if index < len(unit.mig) else None,
        nvmlDeviceGetGpuInstanceId=lambda unit: unit.gpu_instance,
        nvmlDeviceGetComputeInstanceId=lambda unit: unit.compute_instance,
        nvmlDeviceGetAttributes_v2=lambda unit: SimpleNamespace(multiprocessorCount=unit.multiprocessors),
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(inventory_nvml, "enumerated", lambda: cuda)
    return nvml


@pytest.mark.parametrize("name", ["none", "a100x4", "mixed4", "mig", "exclusive4", "container"])
def test_the_real_machine_is_described_as_nvml_has_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    inventory = Inventory.load(name)
    pretend(monkeypatch, inventory)
    real = Inventory.from_nvml()
    assert (real.origin, real.driver_version, real.cuda_version) == ("nvml", "580.95.05", "13.0")
    assert real.units == tuple(real.by_uuid(unit.uuid) for unit in inventory.units)
    for device, expected in zip(real.devices, inventory.devices, strict=True):
        assert (device.pci_bus_id, device.minor, device.memory) == (
            expected.pci_bus_id,
            expected.minor,
            expected.memory,
        )
        assert device.multiprocessors == expected.multiprocessors
        assert (device.compute_mode, device.mig) == (expected.compute_mode, expected.mig)


def as_cuda_has(inventory: Inventory) -> tuple[CudaDevice, ...]:
    return tuple(
        CudaDevice(gpu.uuid, gpu.pci_bus_id, gpu.name, gpu.memory, gpu.compute_capability, gpu.multiprocessors)
        for gpu in inventory.fastest_first
    )


@pytest.mark.parametrize("name", ["mixed4", "sick8"])
def test_cuda_is_asked_for_what_nvml_does_not_say(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    inventory = Inventory.load(name)
    pretend(monkeypatch, inventory, as_cuda_has(inventory))
    real = Inventory.from_nvml()
    assert [gpu.uuid for gpu in real.fastest_first] == [gpu.uuid for gpu in inventory.fastest_first]
    for device, expected in zip(real.devices, inventory.devices, strict=True):
        assert (device.uuid, device.name, device.memory) == (expected.uuid, expected.name, expected.memory)
        assert device.faults == expected.faults


def test_a_gpu_that_nvml_says_nothing_about_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, Inventory.load("sick8"))
    devices = Inventory.from_nvml().devices
    assert len(devices) == 8
    assert devices[0].faults == {"nvml-unknown"}
    assert [bool(device.faults) for device in devices[1:]] == [False] * 7


def test_no_driver_and_no_package_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = pretend(monkeypatch, Inventory.load("none"))
    del nvml.nvmlInit
    with pytest.raises(UserError, match="No NVIDIA driver answers"):
        Inventory.from_nvml()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(UserError, match="Install nvidia-ml-py"):
        Inventory.from_nvml()


ORDER_OF_THE_REAL_MACHINE = """
from pytest_gpuvisibility import Inventory
print([gpu.uuid for gpu in Inventory.from_nvml().fastest_first])
"""


@pytest.mark.parametrize("name", ["none", "mixed4", "mig", "sick8", "container"])
def test_a_program_on_a_simulated_machine_takes_it_for_the_real_one(name: str) -> None:
    inventory = Inventory.load(name)
    try:
        machine = Machine.create(inventory)
    except NativeLibraryMissing as error:
        pytest.skip(str(error))
    with machine:
        environ = machine.environ({**os.environ, "CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
        command = [sys.executable, "-c", ORDER_OF_THE_REAL_MACHINE]
        asked = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
        assert asked.stdout == f"{[gpu.uuid for gpu in inventory.fastest_first]}\n"
        assert list(machine.ledger.records()) == [], "asking is no use of a GPU"
