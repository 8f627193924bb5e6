"""Goes onto the machines in two directories, one after the other."""

import ctypes
import os
import sys
from pathlib import Path

from pytest_gpuvisibility.simulator import Machine, follow_cuda

before = dict(os.environ)
count = ctypes.c_int()


def visible():
    cuda = ctypes.CDLL("libcuda.so.1")
    result = cuda.cuInit(0)
    return result, (cuda.cuDeviceGetCount(ctypes.byref(count)), count.value)[1]


first, second = (Machine.open(Path(path)) for path in sys.argv[1:])
first.attach()
first.attach()
print(*visible(), os.environ["GPU_VISIBILITY_MACHINE"] == sys.argv[1])
first.detach()
print(os.environ == before)
second.attach()
print(*visible())  # CUDA keeps what it found
assert follow_cuda([device.uuid for device in second.inventory.devices]) is None
print(*visible())
second.detach()
print(os.environ == before)
