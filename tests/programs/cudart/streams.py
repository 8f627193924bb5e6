"""A stream with a priority, two events, and a callback."""

import ctypes

from client import call, code, get, show, void

least, greatest = ctypes.c_int(), ctypes.c_int()
call("cudaDeviceGetStreamPriorityRange", ctypes.byref(least), ctypes.byref(greatest))
stream = void()
call("cudaStreamCreateWithPriority", ctypes.byref(stream), 1, greatest)
priority, flags, status = ctypes.c_int(), ctypes.c_uint(), ctypes.c_int(7)
call("cudaStreamGetPriority", stream, ctypes.byref(priority))
call("cudaStreamGetFlags", stream, ctypes.byref(flags))
call("cudaStreamIsCapturing", stream, ctypes.byref(status))
show([priority.value == greatest.value < 0, flags.value, status.value])
first, second = void(get("cudaEventCreate", type=void)), void(get("cudaEventCreate", type=void))
show(code("cudaEventElapsedTime", ctypes.byref(ctypes.c_float()), first, second))
call("cudaEventRecord", first, stream)
call("cudaStreamWaitEvent", stream, first, 0)
called = []
callback = ctypes.CFUNCTYPE(None, void, ctypes.c_int, void)(lambda *rest: called.append(rest[1:]))
call("cudaStreamAddCallback", stream, callback, void(5), 0)
call("cudaStreamSynchronize", stream)
call("cudaEventRecord", second, stream)
call("cudaEventSynchronize", second)
milliseconds = ctypes.c_float(-1)
call("cudaEventElapsedTime", ctypes.byref(milliseconds), first, second)
show([called, code("cudaEventQuery", second), code("cudaStreamQuery", stream), milliseconds.value >= 0])
call("cudaEventDestroy", second)
call("cudaStreamDestroy", stream)
show([code("cudaStreamDestroy", stream), code("cudaStreamSynchronize", stream)])
