"""Who holds memory of each GPU, by every version of the question."""

import ctypes
import json

import pynvml

pynvml.nvmlInit()
nvml = ctypes.CDLL("libnvidia-ml.so.1")


class V1(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint), ("bytes", ctypes.c_ulonglong)]


def first_version(handle, room):
    count, array = ctypes.c_uint(room), (V1 * max(room, 1))()
    code = nvml.nvmlDeviceGetComputeRunningProcesses(handle, ctypes.byref(count), array if room else None)
    return code, count.value, [[entry.pid, entry.bytes] for entry in array[: count.value]] if not code else []


def about(handle):
    newest = [[p.pid, p.usedGpuMemory] for p in pynvml.nvmlDeviceGetComputeRunningProcesses_v3(handle)]
    return {
        "v1": first_version(handle, 4),
        "v1, no room": first_version(handle, 0),
        "v2": [[p.pid, p.usedGpuMemory] for p in pynvml.nvmlDeviceGetComputeRunningProcesses_v2(handle)],
        "v3": newest,
        "graphics": len(pynvml.nvmlDeviceGetGraphicsRunningProcesses(handle)),
        "used": pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2).used,
        "free": pynvml.nvmlDeviceGetMemoryInfo(handle).free,
        "used or reserved": pynvml.nvmlDeviceGetMemoryInfo(handle).used,
        "names": [pynvml.nvmlSystemGetProcessName(pid) for pid, _ in newest],
    }


print(json.dumps([about(pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(pynvml.nvmlDeviceGetCount())]))
