"""What cuGetProcAddress finds for names and versions."""

import ctypes

from client import cuda, show


def find(name, version, flags=0):
    pointer, status, flags = ctypes.c_void_p(), ctypes.c_int(-1), ctypes.c_uint64(flags)
    search = (name, ctypes.byref(pointer), version, flags, ctypes.byref(status))
    return [cuda.cuGetProcAddress_v2(*search), status.value, known.get(pointer.value, pointer.value)]


bases = ("cuCtxCreate", "cuMemAlloc", "cuGetProcAddress", "cuDeviceGetUuid", "cuGraphLaunch")
symbols = [base + abi for base in bases for abi in ("", "_v2", "_v3", "_v4", "_ptsz")]
symbols = [symbol for symbol in symbols if hasattr(cuda, symbol)]
known = {ctypes.cast(getattr(cuda, symbol), ctypes.c_void_p).value: symbol for symbol in symbols}
pointer = ctypes.c_void_p(1)
old = cuda.cuGetProcAddress(b"cuNothing", ctypes.byref(pointer), 13000, ctypes.c_uint64(0))
show([find(b"cuCtxCreate", version) for version in (2000, 3010, 3020, 11040, 12040, 12050, 13000)])
show([find(b"cuMemAlloc", version) for version in (12000, 3000)])
show([find(b"cuDeviceGetUuid", version) for version in (9000, 11030)])
show([find(b"cuGetProcAddress", version) for version in (12000, 11030)])
show([find(b"cuNothing", 13000), find(b"cuMemAlloc_v2", 13000), find(b"cuInit", 99000)])
show([old, pointer.value])
show([find(b"cuGraphLaunch", 13000, flags) for flags in (0, 1, 2)])
