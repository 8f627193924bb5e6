"""What is answered as NVML is initialised twice and shut down more often."""

import ctypes
import json

nvml = ctypes.CDLL("libnvidia-ml.so.1")
count = ctypes.c_uint(99)


def read():
    return nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))


calls = [
    read,
    nvml.nvmlShutdown,
    nvml.nvmlInit_v2,
    nvml.nvmlInit,
    read,
    nvml.nvmlShutdown,
    read,
    nvml.nvmlShutdown,
    read,
    nvml.nvmlShutdown,
]
print(json.dumps([call() for call in calls]))
