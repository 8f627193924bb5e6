"""Ray's detection of NVIDIA GPUs, in the test's process: what a node finds when it starts, and what a worker has."""

from __future__ import annotations

import os

import pytest
from machines import on_each_machine
from ray._private.accelerators import get_accelerator_manager_for_resource
from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager as Manager

from pytest_gpuvisibility import resolve

TYPES = {"a100x2": "A100", "mixed4": "GeForce-RTX-4090", "h100x8": "H100", "container": "A100", "mig": "A100"}


@on_each_machine
def test_a_node_has_the_gpus_of_the_machine(machine, gpu_inventory) -> None:
    assert get_accelerator_manager_for_resource("GPU") is Manager
    assert Manager.get_current_node_num_accelerators() == len(gpu_inventory.devices)
    assert Manager.get_current_node_accelerator_type() == TYPES[machine]
    assert Manager.get_current_process_visible_accelerator_ids() is None


@on_each_machine
def test_a_worker_has_the_gpus_of_the_mask(machine, gpu_inventory, gpu_visibility) -> None:
    gpu_visibility.set("1")
    ids = Manager.get_current_process_visible_accelerator_ids()
    assert ids is not None
    order = os.environ.get("CUDA_DEVICE_ORDER")
    assert resolve(",".join(ids), gpu_inventory, device_order=order).devices == gpu_visibility.devices
    assert Manager.get_current_node_num_accelerators() == len(gpu_inventory.devices)  # NVML knows no mask


@pytest.mark.no_gpu
@on_each_machine
def test_a_worker_without_gpus(machine, gpu_inventory) -> None:
    assert Manager.get_current_process_visible_accelerator_ids() == []
    assert Manager.get_current_node_num_accelerators() == len(gpu_inventory.devices)
