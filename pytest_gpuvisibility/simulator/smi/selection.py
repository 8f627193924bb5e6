"""Which GPUs the program is asked about."""

from __future__ import annotations

import ctypes
import os

from .nvml import INVALID_ARGUMENT, NOT_FOUND, Exit, Gpu, Nvml, NvmlError, Unit


def _snapshot_bus_id(index: int) -> str:
    """The bus id of a GPU that NVML gives no handle for: "0000:07:00.0"."""
    import json  # 7 ms of a program that takes 40, for what few GPUs are

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


def _handle(nvml: Nvml, function: str, name: str) -> ctypes.c_void_p | None:
    """What a nvmlDeviceGetHandleBy... function finds; None where there is nothing of that name."""
    handle = ctypes.c_void_p()
    try:
        nvml.call(function, os.fsencode(name), ctypes.byref(handle))
    except NvmlError as error:
        if error.code in (NOT_FOUND, INVALID_ARGUMENT):
            return None
        raise _sick(error, f"GPU {name}") from error
    return handle


def gpu_by_name(nvml: Nvml, name: str) -> Gpu | None:
    """The GPU of an index, UUID, serial number or bus id, as -i takes them; None where there is none.

    The UUID of a MIG slice stands for its GPU, of which only that slice and its processes are shown.
    """
    if name.isascii() and name.isdigit():
        if int(name) < nvml.count():
            return gpu_by_index(nvml, int(name))
        handle = _handle(nvml, "nvmlDeviceGetHandleBySerial", name)
    elif name.startswith(("GPU-", "MIG-")):
        handle = _handle(nvml, "nvmlDeviceGetHandleByUUID", name)
    else:
        handle = _handle(nvml, "nvmlDeviceGetHandleByPciBusId_v2", name)
    if handle is None:
        return None
    if not name.startswith("MIG-"):
        return Gpu(nvml, handle)
    parent = ctypes.c_void_p()
    nvml.call("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", handle, ctypes.byref(parent))
    return Gpu(nvml, parent, only=Unit(nvml, handle))


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
