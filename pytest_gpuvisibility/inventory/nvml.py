"""The inventory of this machine, asked of NVML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, TypeVar, cast

from ..errors import UserError
from .cuda_order import CudaDevice, enumerated
from .devices import ComputeMode, Device, InventoryParts, MigDevice

T = TypeVar("T")

# NVML counts CUDA cores, an inventory multiprocessors: cores in one multiprocessor by compute capability.
_CORES = {(6, 0): 64, (7, 0): 64, (7, 2): 64, (7, 5): 64, (8, 0): 64}
_USUAL_CORES = 128


def read() -> InventoryParts:
    """The GPUs that NVML lists, in its order, which is PCI order.

    :raises UserError: ``nvidia-ml-py`` is not installed, or no driver answers.
    """
    try:
        nvml: Any = import_module("pynvml")
    except ImportError:
        raise UserError(
            "The real machine's GPUs are asked for through NVML, and its Python package is not installed."
            " Install nvidia-ml-py, or name a simulated inventory such as a100x8."
        ) from None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise UserError(
            f"No NVIDIA driver answers on this machine ({error}). Use a machine with a GPU and its driver, or"
            " name a simulated inventory such as a100x8."
        ) from None
    try:
        return _Reader(nvml).inventory()
    finally:
        nvml.nvmlShutdown()


class _Reader:
    def __init__(self, nvml: Any) -> None:
        self.nvml = nvml

    def inventory(self) -> InventoryParts:
        nvml = self.nvml
        cuda = self._ask(nvml.nvmlSystemGetCudaDriverVersion_v2, 0)
        try:
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            raise UserError(
                f"NVML does not say how many GPUs this machine has: {error}. Run nvidia-smi to see why."
            ) from None
        return InventoryParts(
            name="real",
            devices=_completed([self._device(index) for index in range(count)]),
            driver_version=_text(self._ask(nvml.nvmlSystemGetDriverVersion, "0")),
            cuda_version=f"{cuda // 1000}.{cuda % 1000 // 10}",
            origin="nvml",
        )

    def _ask(self, function: Callable[..., T], default: T, *arguments: object) -> T:
        """NVML's answer; ``default`` where this GPU, or this driver, does not support the question."""
        try:
            return function(*arguments)
        except self.nvml.NVMLError:
            return default

    def _device(self, index: int) -> Device:
        nvml = self.nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = _text(nvml.nvmlDeviceGetUUID(handle))
            bus_id = _text(nvml.nvmlDeviceGetPciInfo(handle).busId)
            name = _text(nvml.nvmlDeviceGetName(handle))
            memory = int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
        except nvml.NVMLError as error:
            return _silent(index, self._fault(error))
        major, minor = self._ask(nvml.nvmlDeviceGetCudaComputeCapability, (0, 0), handle)
        cores = self._ask(nvml.nvmlDeviceGetNumGpuCores, 0, handle)
        clock = self._ask(nvml.nvmlDeviceGetMaxClockInfo, 0, handle, nvml.NVML_CLOCK_SM)
        mode, _pending = self._ask(nvml.nvmlDeviceGetMigMode, (0, 0), handle)
        enabled = mode == nvml.NVML_DEVICE_MIG_ENABLE
        return Device(
            index=index,
            uuid=uuid,
            pci_bus_id=bus_id,
            minor=self._ask(nvml.nvmlDeviceGetMinorNumber, index, handle),
            name=name,
            memory=memory,
            compute_capability=(major, minor),
            multiprocessors=cores // _CORES.get((major, minor), _USUAL_CORES),
            relative_speed=float(cores * clock) or 1.0,
            compute_mode=self._compute_mode(handle),
            mig_enabled=enabled,
            mig=self._slices(handle, index, uuid, name) if enabled else (),
        )

    def _fault(self, error: Exception) -> str:
        code = getattr(error, "value", None)
        faults = {
            self.nvml.NVML_ERROR_GPU_IS_LOST: "lost",
            self.nvml.NVML_ERROR_NO_PERMISSION: "nvml-no-permission",
        }
        return faults.get(code, "nvml-unknown")

    def _compute_mode(self, handle: object) -> ComputeMode:
        nvml = self.nvml
        mode = self._ask(nvml.nvmlDeviceGetComputeMode, nvml.NVML_COMPUTEMODE_DEFAULT, handle)
        modes = {
            nvml.NVML_COMPUTEMODE_PROHIBITED: "prohibited",
            nvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS: "exclusive-process",
        }
        return cast(ComputeMode, modes.get(mode, "default"))

    def _slices(self, handle: object, index: int, parent_uuid: str, parent_name: str) -> tuple[MigDevice, ...]:
        nvml = self.nvml
        places = range(self._ask(nvml.nvmlDeviceGetMaxMigDeviceCount, 0, handle))
        handles = (self._ask(nvml.nvmlDeviceGetMigDeviceHandleByIndex, None, handle, place) for place in places)
        return tuple(self._slice(unit, index, parent_uuid, parent_name) for unit in handles if unit is not None)

    def _slice(self, handle: object, index: int, parent_uuid: str, parent_name: str) -> MigDevice:
        nvml = self.nvml
        name = _text(self._ask(nvml.nvmlDeviceGetName, parent_name, handle))
        attributes = self._ask(nvml.nvmlDeviceGetAttributes_v2, None, handle)
        return MigDevice(
            uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
            gpu_instance=nvml.nvmlDeviceGetGpuInstanceId(handle),
            compute_instance=nvml.nvmlDeviceGetComputeInstanceId(handle),
            profile=name.partition(" MIG ")[2],
            name=name,
            memory=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
            multiprocessors=int(attributes.multiprocessorCount) if attributes else 0,
            parent_index=index,
            parent_uuid=parent_uuid,
        )


def _completed(devices: Sequence[Device]) -> tuple[Device, ...]:
    """The same devices with CUDA's word on which is the fastest, and on those that NVML says nothing about."""
    silent = [device for device in devices if not device.pci_bus_id and not device.lost]
    if len({device.name for device in devices}) <= 1 and not silent:
        return tuple(replace(device, relative_speed=1.0) for device in devices)
    # Of a GPU in MIG mode CUDA shows slices only, before R570 a single one: the whole order is not to be had.
    known = None if any(device.mig_enabled for device in devices) else enumerated()
    if not known:
        return tuple(devices)
    named = {device.uuid for device in devices}
    # Both lists are in PCI order, so the GPUs that only CUDA describes are the silent ones, one by one.
    unmatched = sorted((gpu for gpu in known if gpu.uuid not in named), key=lambda gpu: gpu.pci_bus_id)
    described = {device.index: gpu for device, gpu in zip(silent, unmatched, strict=False)}
    if len(unmatched) != len(silent):
        described = {}
    complete = [_described(device, described.get(device.index)) for device in devices]
    place = {gpu.uuid: len(known) - ordinal for ordinal, gpu in enumerate(known)}
    return tuple(replace(device, relative_speed=float(place.get(device.uuid, 0))) for device in complete)


def _described(device: Device, gpu: CudaDevice | None) -> Device:
    if gpu is None:
        return device
    return replace(
        device,
        uuid=gpu.uuid,
        pci_bus_id=gpu.pci_bus_id,
        name=gpu.name,
        memory=gpu.memory,
        compute_capability=gpu.compute_capability,
        multiprocessors=gpu.multiprocessors,
    )


def _silent(index: int, fault: str) -> Device:
    """A GPU that NVML counts and says nothing about. What is unknown is zero, never a guess."""
    return Device(
        index=index,
        uuid=f"GPU-00000000-0000-0000-0000-{index:012x}",
        pci_bus_id="",
        minor=-1 - index,
        name="unknown GPU",
        memory=0,
        compute_capability=(0, 0),
        multiprocessors=0,
        faults=frozenset({fault}),
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
