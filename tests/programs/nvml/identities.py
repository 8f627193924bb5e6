"""Each GPU as NVML describes it, or the number of the error that it gives instead."""

import json

import pynvml


def identity(index):
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    except pynvml.NVMLError as error:
        return error.value
    return {
        "index": pynvml.nvmlDeviceGetIndex(handle),
        "uuid": pynvml.nvmlDeviceGetUUID(handle),
        "name": pynvml.nvmlDeviceGetName(handle),
        "minor": pynvml.nvmlDeviceGetMinorNumber(handle),
        "memory": pynvml.nvmlDeviceGetMemoryInfo(handle).total,
        "bus_id": pynvml.nvmlDeviceGetPciInfo(handle).busId,
        "capability": pynvml.nvmlDeviceGetCudaComputeCapability(handle),
        "used": pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2).used,
    }


pynvml.nvmlInit()
print(json.dumps([identity(index) for index in range(pynvml.nvmlDeviceGetCount())]))
