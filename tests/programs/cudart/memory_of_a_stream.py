"""How much of a device's pool is in use while memory is taken and given back in the order of a stream."""

import ctypes

from client import call, code, get, malloc, show, size, void

stream = get("cudaStreamCreate", type=void)
address = malloc(1 << 20, "cudaMallocAsync", void(stream))
pool = get("cudaDeviceGetDefaultMemPool", 0, type=void)
used = ctypes.c_uint64()
call("cudaMemPoolGetAttribute", void(pool), 7, ctypes.byref(used))  # cudaMemPoolAttrUsedMemCurrent
show(used.value)
call("cudaFreeAsync", void(address), void(stream))
call("cudaMemPoolTrimTo", void(pool), size(0))
call("cudaMemPoolGetAttribute", void(pool), 7, ctypes.byref(used))
show(used.value)
call("cudaStreamDestroy", void(stream))
show(code("cudaFreeAsync", void(address), None))
