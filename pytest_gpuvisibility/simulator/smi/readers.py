"""How a field of a GPU is asked of NVML: functions that make the readers of ``fields``."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable

from .nvml import NOT_SUPPORTED, Bar1, Fabric, Gpu, NvmlError, Pci, PciExt, Platform, Remapping, Utilization
from .wording import NOT_AVAILABLE, active, mebibytes, yes

Reader = Callable[[Gpu], str]


def uint_of(function: str, *middle: object, show: Callable[[int], str] = str) -> Reader:
    return lambda gpu: show(gpu.uint(function, *middle))


def text_of(function: str, *middle: object) -> Reader:
    return lambda gpu: gpu.text(function, *middle)


def memory_of(part: str) -> Reader:
    return lambda gpu: mebibytes(getattr(gpu.memory(), part))


def pair_of(function: str, position: int, show: Callable[[int], str]) -> Reader:
    return lambda gpu: show(gpu.pair(function)[position])


def power_of(function: str) -> Reader:
    return lambda gpu: gpu.power(function)


def pci_of(part: str, digits: int) -> Reader:
    return lambda gpu: f"0x{getattr(gpu.fill(Pci, 'nvmlDeviceGetPciInfo_v3'), part):0{digits}X}"


def class_of(part: str) -> Reader:
    return lambda gpu: f"0x{getattr(gpu.fill(PciExt, 'nvmlDeviceGetPciInfoExt', version=1), part):X}"


def utilization_of(part: str) -> Reader:
    return lambda gpu: str(getattr(gpu.fill(Utilization, "nvmlDeviceGetUtilizationRates"), part))


def engine_of(engine: str) -> Reader:
    return lambda gpu: str(gpu.pair(f"nvmlDeviceGet{engine}Utilization")[0])


def histogram_of(part: str) -> Reader:
    return lambda gpu: str(getattr(gpu.fill(Remapping, "nvmlDeviceGetRowRemapperHistogram"), part))


def platform_of(part: str) -> Reader:
    return lambda gpu: str(getattr(gpu.fill(Platform, "nvmlDeviceGetPlatformInfo", version=2), part))


def remapped(position: int, show: Callable[[int], str] = str) -> Reader:
    def read(gpu: Gpu) -> str:
        values = [ctypes.c_uint() for _ in range(4)]
        gpu.nvml.call("nvmlDeviceGetRemappedRows", gpu.handle, *(ctypes.byref(value) for value in values))
        return show(values[position].value)

    return read


def encoder(position: int) -> Reader:
    def read(gpu: Gpu) -> str:
        values = [ctypes.c_uint() for _ in range(3)]
        gpu.nvml.call("nvmlDeviceGetEncoderStats", gpu.handle, *(ctypes.byref(value) for value in values))
        return str(values[position].value)

    return read


def reasons(gpu: Gpu, function: str) -> int:
    value = ctypes.c_ulonglong()
    gpu.nvml.call(function, gpu.handle, ctypes.byref(value))
    return value.value


def reason(bit: int) -> Reader:
    return lambda gpu: active(reasons(gpu, "nvmlDeviceGetCurrentClocksEventReasons") & bit)


def without_errors(gpu: Gpu) -> str:
    """An ECC counter that the GPU has: a simulated one never errs."""
    gpu.pair("nvmlDeviceGetEccMode")
    return "0"


def threshold_exceeded(gpu: Gpu) -> str:
    return yes(int(without_errors(gpu)))


def compute_capability(gpu: Gpu) -> str:
    major, minor = gpu.pair("nvmlDeviceGetCudaComputeCapability")
    return f"{major}.{minor}"


def memory_temperature(gpu: Gpu) -> str:
    try:
        return str(gpu.field(82))
    except NvmlError:
        return NOT_AVAILABLE  # without the brackets of other fields


FABRIC_STATES = {1: "Not Started", 2: "In Progress", 3: "Completed"}


def fabric(show: Callable[[ctypes.Structure], str]) -> Reader:
    """A part of nvmlDeviceGetGpuFabricInfoV; "N/A" without the brackets of other fields where there is none."""

    def reader(gpu: Gpu) -> str:
        try:
            return show(gpu.fill(Fabric, "nvmlDeviceGetGpuFabricInfoV", version=3))
        except NvmlError:
            return NOT_AVAILABLE

    return reader


def cluster(fabric: ctypes.Structure) -> str:
    text = bytes(fabric.cluster).hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def retired(cause: int) -> Reader:
    return lambda gpu: str(len(gpu.numbers("nvmlDeviceGetRetiredPages", cause)))


def edpp(gpu: Gpu) -> str:
    """A setting of Hopper boards, which NVML's public functions do not read."""
    if gpu.uint("nvmlDeviceGetArchitecture") != 9:
        raise NvmlError(NOT_SUPPORTED, "Not Supported")
    return "100.00"


def protected(gpu: Gpu) -> str:
    gpu.fill(Bar1, "nvmlDeviceGetConfComputeProtectedMemoryUsage")
    return "0"


def clock(function: str, kind: int) -> Reader:
    return uint_of(f"nvmlDeviceGet{function}", kind)


def timestamp(_gpu: Gpu | None = None) -> str:
    now = time.time()
    return time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(now)) + f".{int(now % 1 * 1000):03d}"


def constant(value: str) -> Reader:
    return lambda gpu: value
