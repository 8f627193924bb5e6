"""Opens a context on CUDA device argv[1], allocates argv[2] MiB, says so, and waits for a line or the end of its stdin.
Where further arguments name a command, it then becomes that.
"""

import ctypes
import os
import sys

cuda = ctypes.CDLL("libcuda.so.1")
device, context, address = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
assert cuda.cuInit(0) == 0
assert cuda.cuDeviceGet(ctypes.byref(device), int(sys.argv[1])) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
assert cuda.cuCtxSetCurrent(context) == 0
assert cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(int(sys.argv[2]) << 20)) == 0
print("ready", flush=True)
sys.stdin.readline()
if command := sys.argv[3:]:
    os.execvp(command[0], command)
