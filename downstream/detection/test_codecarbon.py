"""CodeCarbon's detection of GPUs, in the test's process: the devices, and which of them its tracker takes.

CodeCarbon initialises NVML when it is imported, and does without GPUs for good if that fails. So these tests want
--gpu-inventory, which gives the process a machine before any file is imported; each test then has its own.
"""

from __future__ import annotations

import pytest
from codecarbon import OfflineEmissionsTracker
from codecarbon.core import hardware_cache
from codecarbon.core.gpu import AllGPUDevices
from codecarbon.external.hardware import GPU
from machines import on_each_machine, uuids


def tracked() -> list[str]:
    """The UUIDs of the GPUs that a tracker measures, as it finds them by itself."""
    hardware_cache.clear_cache()  # CodeCarbon looks for hardware once a process, and has this for tests
    tracker = OfflineEmissionsTracker(country_iso_code="FRA", output_methods=[], allow_multiple_runs=True)
    tracker.start()
    try:
        (gpu,) = (part for part in tracker._hardware if isinstance(part, GPU))
        return [gpu.devices.get_gpu_static_info()[index]["uuid"] for index in gpu._get_gpu_ids()]
    finally:
        tracker.stop()


@on_each_machine
def test_all_devices_are_those_of_the_machine(machine, gpu_inventory) -> None:
    found = AllGPUDevices().get_gpu_static_info()
    assert [(gpu["gpu_index"], gpu["uuid"], gpu["name"], gpu["total_memory"]) for gpu in found] == [
        (device.index, device.uuid, device.name, device.memory) for device in gpu_inventory.devices
    ]


@on_each_machine
def test_a_tracker_measures_them_all(machine, gpu_inventory) -> None:
    assert tracked() == uuids(gpu_inventory.devices)


@on_each_machine
def test_a_tracker_keeps_to_the_mask(machine, gpu_machine, gpu_visibility) -> None:
    gpu_visibility.set("1")  # gpu_machine counts in PCI order, as CodeCarbon does
    # A MIG slice goes by its UUID, which CodeCarbon looks for among the whole GPUs.
    assert tracked() == ([] if machine == "mig" else uuids(gpu_visibility.devices))


@pytest.mark.gpu_inventory("mixed4")
@pytest.mark.gpu_visibility("3,1")
def test_a_tracker_takes_ordinals_in_its_own_order(gpu_machine, gpu_visibility) -> None:
    assert tracked() == sorted(uuids(gpu_visibility.devices), key=uuids(gpu_machine.devices).index)


@pytest.mark.gpu_inventory("mixed4")
def test_a_tracker_takes_cudas_ordinals_for_nvmls(gpu_inventory, gpu_visibility, monkeypatch) -> None:
    """In CUDA's own order 0 is the fastest. CodeCarbon measures another GPU then: its own mistake."""
    monkeypatch.delenv("CUDA_DEVICE_ORDER")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert gpu_visibility.devices == (gpu_inventory.devices[2],)
    assert tracked() == [gpu_inventory.devices[0].uuid]


@pytest.mark.gpu_inventory("a100x4")
def test_a_tracker_finds_no_gpu_by_its_uuid(gpu_inventory, gpu_visibility, monkeypatch) -> None:
    """CodeCarbon takes off the letters of "MIG-", of which G is one; no UUID begins with "PU-". Its mistake."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpu_inventory.devices[2].uuid)
    assert gpu_visibility.devices == (gpu_inventory.devices[2],)
    assert tracked() == []
