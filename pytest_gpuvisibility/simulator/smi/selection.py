"""Which GPUs the program is asked about."""

from __future__ import annotations

import ctypes
import os

from .nvml import INVALID_ARGUMENT, NOT_FOUND, Exit, Gpu, Nvml, NvmlError


def _snapshot_bus_id(index: int) -> str:
    """The bus id of a GPU that NVML gives no handle for: "0000:07:00.0"."""
    import json

    library = ctypes.CDLL(os.path.join(os.environ["GPU_VISIBILITY_LIBRARIES"], "libgpuvisibility.so"))
    library.gv_snapshot.restype = ctypes.c_long
    library.gv_snapshot.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
    buffer = ctypes.create_string_buffer(1 << 20)
    length = library.gv_snapshot(os.fsencode(os.environ["GPU_VISIBILITY_MACHINE"]), buffer, len(buffer))
    bus_id: str = json.loads(buffer.raw[:length])["devices"][index]["pci_bus_id"]
    return bus_id[4:]


def _sick(error: NvmlError, gpu: str) -> Exit:
    text = f"{error}.  Reboot the system to recover this GPU" if error.code == 15 else str(error)
    return Exit(f"Unable to determine the device handle for {gpu}: {text}\n", min(error.code, 255))


def gpu_by_index(nvml: Nvml, index: int) -> Gpu:
    handle = ctypes.c_void_p()
    try:
        nvml.call("nvmlDeviceGetHandleByIndex_v2", index, ctypes.byref(handle))
    except NvmlError as error:
        raise _sick(error, f"GPU{index}: {_snapshot_bus_id(index)}") from error
    return Gpu(nvml, handle)


def gpu_by_name(nvml: Nvml, name: str) -> Gpu | None:
    """The GPU of an index, UUID or bus id, as -i takes them; None where there is none."""
    if name.isascii() and name.isdigit():
        return gpu_by_index(nvml, int(name)) if int(name) < nvml.count() else None
    handle = ctypes.c_void_p()
    function = "nvmlDeviceGetHandleByUUID" if name.startswith("GPU-") else "nvmlDeviceGetHandleByPciBusId_v2"
    try:
        nvml.call(function, os.fsencode(name), ctypes.byref(handle))
    except NvmlError as error:
        if error.code in (NOT_FOUND, INVALID_ARGUMENT):
            return None
        raise _sick(error, f"GPU {name}") from error
    return Gpu(nvml, handle)


def select(nvml: Nvml, names: str | None) -> list[Gpu]:
    """The GPUs that -i names, or all of them; Exit where there are none."""
    if names is None:
        gpus: list[Gpu | None] = [gpu_by_index(nvml, index) for index in range(nvml.count())]
    else:
        gpus = [gpu_by_name(nvml, name.strip()) for name in names.split(",")]
    found = [gpu for gpu in gpus if gpu is not None]
    if not found:
        raise Exit("No devices were found\n", NOT_FOUND)
    return found
