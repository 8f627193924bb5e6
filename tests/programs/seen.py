"""What a process finds on its machine, and whether it has loaded the driver: for tests of a pytest process itself, and
for their children. As a program it says what CUDA shows.
"""

import ctypes
import json
import subprocess
import sys
import uuid

NO_DEVICE = 100


def loaded():
    with open("/proc/self/maps") as maps:
        return {line.split("/")[-1].strip() for line in maps if "libcuda.so" in line or "libnvidia-ml.so" in line}


def by_nvml():
    import pynvml

    pynvml.nvmlInit()
    handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
    return [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]


def by_cuda_bindings():
    from cuda.bindings import driver

    if int(driver.cuInit(0)[0]) == NO_DEVICE:
        return []
    count = driver.cuDeviceGetCount()[1]
    return ["GPU-" + str(uuid.UUID(bytes=driver.cuDeviceGetUuid(device)[1].bytes)) for device in range(count)]


def by_ctypes():
    cuda, count, raw = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.create_string_buffer(16)
    if cuda.cuInit(0) == NO_DEVICE:
        return []
    assert cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
    found = []
    for device in range(count.value):
        assert cuda.cuDeviceGetUuid(raw, device) == 0
        found.append("GPU-" + str(uuid.UUID(bytes=raw.raw)))
    return found


def count_by_runtime():
    count = ctypes.c_int()
    failed = ctypes.CDLL("libcudart.so.13").cudaGetDeviceCount(ctypes.byref(count))
    assert failed in (0, NO_DEVICE)
    return 0 if failed else count.value


def hold(device, and_release=False):
    cuda, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p()
    assert cuda.cuInit(0) == 0
    assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
    if and_release:
        assert cuda.cuDevicePrimaryCtxRelease_v2(device) == 0


def holding(client):
    """What `client` finds; from then on the process holds the first of it."""
    found = client()
    if found:
        hold(0)
    return found


def initialised():
    count = ctypes.c_int()
    return ctypes.CDLL("libcuda.so.1").cuDeviceGetCount(ctypes.byref(count)) == 0


def in_child(code):
    return json.loads(subprocess.check_output([sys.executable, "-c", "from seen import *; " + code]))


if __name__ == "__main__":
    print(json.dumps(by_ctypes()))
