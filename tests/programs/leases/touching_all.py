"""Opens a context on every device that is shown, and says their UUIDs as hexadecimal digits."""

import ctypes

cuda = ctypes.CDLL("libcuda.so.1")
device, context, count = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_int()
assert cuda.cuInit(0) == 0
assert cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
for ordinal in range(count.value):
    uuid = (ctypes.c_char * 16)()
    assert cuda.cuDeviceGet(ctypes.byref(device), ordinal) == 0
    assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
    assert cuda.cuDeviceGetUuid(uuid, device) == 0
    print(uuid.raw.hex())
