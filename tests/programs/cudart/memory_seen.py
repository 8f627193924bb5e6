"""What the runtime and NVML say is in use on a device before, while and after memory of it is held."""

import ctypes

from client import call, malloc, show, size, void

nvml, device, memory = ctypes.CDLL("libnvidia-ml.so.1"), void(), (ctypes.c_ulonglong * 3)()
nvml.nvmlInit_v2()
nvml.nvmlDeviceGetHandleByIndex_v2(3, ctypes.byref(device))


def used():
    free, total = size(), size()
    call("cudaMemGetInfo", ctypes.byref(free), ctypes.byref(total))
    nvml.nvmlDeviceGetMemoryInfo(device, memory)
    return [total.value - free.value, memory[2]]


call("cudaSetDevice", 1)
show(used())
address = malloc(1 << 30)
show(used())
call("cudaFree", void(address))
show(used())
