"""A process that holds memory of CUDA's device 0 until its standard input ends: ``memory_holder.py MIB``.

Run with ``python -I -S``. Writes ``held``, or the function that failed and its CUresult, to standard output.
"""

import ctypes
import sys


def main(mebibytes: int) -> str:
    cuda = ctypes.CDLL("libcuda.so.1")
    device, context, address = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    steps = (
        ("cuInit", 0),
        ("cuDeviceGet", ctypes.byref(device), 0),
        ("cuDevicePrimaryCtxRetain", ctypes.byref(context), device),
        ("cuCtxSetCurrent", context),
        *([("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(mebibytes << 20))] if mebibytes else []),
    )
    for name, *arguments in steps:
        result = getattr(cuda, str(name))(*arguments)
        if result:
            return f"{name} fails with CUresult {result}"
    return "held"


if __name__ == "__main__":
    print(main(int(sys.argv[1])), flush=True)
    sys.stdin.read()
