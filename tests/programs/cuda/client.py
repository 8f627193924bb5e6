"""What every client of libcuda.so.1 here begins with: NVIDIA's own bindings, and ctypes for what they do not reach.

``show`` is the only way that a client tells its test something.
"""

import ctypes
import json

from cuda.bindings import driver

cuda = ctypes.CDLL("libcuda.so.1")


def call(function, *arguments):
    result, *values = function(*arguments)
    assert result == driver.CUresult.CUDA_SUCCESS, (function, result)
    return values[0] if len(values) == 1 else values


def code(function, *arguments):
    return int(function(*arguments)[0])


def show(value):
    print(json.dumps(value), flush=True)


def use(ordinal):
    context = call(driver.cuDevicePrimaryCtxRetain, ordinal)
    call(driver.cuCtxSetCurrent, context)


def uuid(ordinal):
    digits = call(driver.cuDeviceGetUuid, ordinal).bytes.hex()
    return "GPU-" + "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
