"""What a process finds on its machine, and whether it has loaded the driver: for tests of a pytest process itself, and
for their children. As a program it says what CUDA shows.
"""

import ctypes
import json
import subprocess
import sys
import uuid


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

    assert int(driver.cuInit(0)[0]) == 0
    count = driver.cuDeviceGetCount()[1]
    return ["GPU-" + str(uuid.UUID(bytes=driver.cuDeviceGetUuid(device)[1].bytes)) for device in range(count)]


def by_ctypes():
    cuda, count, raw = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.create_string_buffer(16)
    assert cuda.cuInit(0) == 0
    assert cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
    found = []
    for device in range(count.value):
        assert cuda.cuDeviceGetUuid(raw, device) == 0
        found.append("GPU-" + str(uuid.UUID(bytes=raw.raw)))
    return found


def in_child(code):
    return json.loads(subprocess.check_output([sys.executable, "-c", "from seen import *; " + code]))


if __name__ == "__main__":
    print(json.dumps(by_ctypes()))
