"""Launches a kernel argv[1] times, and says what it was answered."""

import ctypes
import sys

cuda = ctypes.CDLL("libcuda.so.1")
context, module, kernel = (ctypes.c_void_p() for _ in range(3))
one, none = ctypes.c_uint(1), ctypes.c_void_p()
assert cuda.cuInit(0) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
assert cuda.cuCtxSetCurrent(context) == 0
assert cuda.cuModuleLoadData(ctypes.byref(module), b"code") == 0
assert cuda.cuModuleGetFunction(ctypes.byref(kernel), module, b"kernel") == 0
results = {cuda.cuLaunchKernel(kernel, *[one] * 6, 0, none, none, none) for _ in range(int(sys.argv[1]))}
print(*results)
