"""Opens a context on each of the CUDA devices that are its arguments. In a module, ``touch`` is the command for it."""

import ctypes
import sys


def touch(*ordinals):
    return [sys.executable, __file__, *map(str, ordinals)]


if __name__ == "__main__":
    cuda, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p()
    assert cuda.cuInit(0) == 0
    for ordinal in sys.argv[1:]:
        result = cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), int(ordinal))
        if result:
            sys.exit(f"CUresult {result}")
