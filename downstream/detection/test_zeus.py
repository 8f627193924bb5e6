"""Zeus's detection of GPUs, in the test's process.

``get_gpus`` keeps the first answer for the life of the process, so tests of it want a process each, or to have it
forget; the class behind it asks anew.
"""

from __future__ import annotations

import pynvml
import pytest
import zeus.device.gpu
from machines import on_each_machine
from zeus.device.gpu import ZeusGPUInitError, ZeusGPUInvalidArgError, get_gpus
from zeus.device.gpu.nvidia import NVIDIAGPUs

kept: list[NVIDIAGPUs] = []
"""What ``get_gpus`` has found in another test."""


def facts(gpus: NVIDIAGPUs) -> list[tuple[str, str]]:
    return [(pynvml.nvmlDeviceGetUUID(gpu.handle), gpu.get_name()) for gpu in gpus.gpus]


@on_each_machine
def test_the_gpus_are_those_of_the_machine(machine, gpu_inventory) -> None:
    gpus = NVIDIAGPUs()
    assert len(gpus) == len(gpu_inventory.devices)
    assert facts(gpus) == [(device.uuid, device.name) for device in gpu_inventory.devices]


@pytest.mark.gpu_isolated
@on_each_machine
def test_get_gpus_in_a_process_of_the_tests_own(machine, gpu_inventory) -> None:
    assert facts(get_gpus()) == [(device.uuid, device.name) for device in gpu_inventory.devices]


@on_each_machine
def test_get_gpus_that_has_forgotten(machine, gpu_inventory, monkeypatch) -> None:
    monkeypatch.setattr(zeus.device.gpu, "_gpus", None)
    assert facts(get_gpus()) == [(device.uuid, device.name) for device in gpu_inventory.devices]


@pytest.mark.gpu_inventory("a100x2")
def test_get_gpus_keeps_the_first_machine(gpu_inventory, monkeypatch) -> None:
    monkeypatch.setattr(zeus.device.gpu, "_gpus", None)
    assert len(get_gpus()) == 2
    kept.append(get_gpus())


@pytest.mark.gpu_inventory("h100x8")
def test_and_is_refused_on_the_next(gpu_inventory, monkeypatch) -> None:
    """That Zeus counts the GPUs that it found first is its own doing; it cannot take them for those of this machine."""
    (first,) = kept
    monkeypatch.setattr(zeus.device.gpu, "_gpus", first)
    assert len(get_gpus()) == 2
    with pytest.raises(ZeusGPUInvalidArgError):
        get_gpus().get_name(0)


@on_each_machine
def test_the_gpus_are_those_of_the_mask(machine, gpu_machine, gpu_visibility) -> None:
    gpu_visibility.set("1")  # gpu_machine counts in PCI order, as Zeus does
    if machine == "mig":
        with pytest.raises(ZeusGPUInitError, match="contains MIG devices"):  # it measures whole GPUs alone
            NVIDIAGPUs()
    else:
        assert facts(NVIDIAGPUs()) == [(device.uuid, device.name) for device in gpu_visibility.devices]


@pytest.mark.gpu_inventory("mixed4")
def test_cudas_ordinals_are_taken_for_nvmls(gpu_inventory, gpu_visibility, monkeypatch) -> None:
    """In CUDA's own order 0 is the fastest. Zeus takes another GPU then: its own mistake."""
    monkeypatch.delenv("CUDA_DEVICE_ORDER")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert gpu_visibility.devices == (gpu_inventory.devices[2],)
    assert [uuid for uuid, _ in facts(NVIDIAGPUs())] == [gpu_inventory.devices[0].uuid]


@pytest.mark.gpu_inventory("a100x4")
def test_a_uuid_in_the_mask_is_no_number(gpu_inventory, gpu_visibility, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpu_inventory.devices[2].uuid)
    with pytest.raises(ValueError, match="invalid literal for int"):  # Zeus reads ordinals alone
        NVIDIAGPUs()
