"""What nvmlInit returns, why NVML cannot be loaded (null where it can), and what cuInit returns."""

import ctypes
import json

import pynvml


def nvml():
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return error.value
    return 0


def refusal():
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError as error:
        return str(error)


print(json.dumps([nvml(), refusal(), ctypes.CDLL("libcuda.so.1").cuInit(0)]))
