"""What both libraries answer a program, by the name of the call and as far as it comes."""

import ctypes
import json


def answers(once_initialised=lambda: None):
    """``once_initialised`` is called between the initialisations and the rest."""
    cuda, nvml = ctypes.CDLL("libcuda.so.1"), ctypes.CDLL("libnvidia-ml.so.1")
    context, address = ctypes.c_void_p(), ctypes.c_uint64()
    found = {"cuInit": cuda.cuInit(0), "nvmlInit": nvml.nvmlInit_v2()}
    once_initialised()
    if found["cuInit"] == 0:
        found["context"] = cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
        if found["context"] == 0:
            cuda.cuCtxSetCurrent(context)
            found["alloc"] = cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(1 << 20))
    return found


def show(found):
    print(json.dumps(found))


if __name__ == "__main__":
    show(answers())
