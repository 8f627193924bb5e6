"""What a stream says of captures."""

import ctypes

from client import call, code, cuda, show, use
from cuda.bindings import driver

call(driver.cuInit, 0)
use(0)
stream = call(driver.cuStreamCreate, 0)
status, number = ctypes.c_int(9), ctypes.c_uint64(9)
pointers = [ctypes.c_void_p(9) for _ in range(4)]
raw = ctypes.c_void_p(int(stream))
answer = cuda.cuStreamGetCaptureInfo_v3(
    raw, ctypes.byref(status), ctypes.byref(number), *(ctypes.byref(pointer) for pointer in pointers)
)
modes = [int(call(driver.cuThreadExchangeStreamCaptureMode, driver.CUstreamCaptureMode(mode))) for mode in (2, 0)]
show(
    [
        int(call(driver.cuStreamIsCapturing, stream)),
        answer,
        status.value,
        number.value,
        [pointer.value for pointer in pointers],
        modes,
        code(driver.cuStreamBeginCapture, stream, driver.CUstreamCaptureMode(0)),
    ]
)
