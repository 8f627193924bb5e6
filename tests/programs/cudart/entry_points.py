"""Finds functions of the driver through the runtime: one that there is, which is called, and one that there is not."""

import ctypes

from client import call, code, get, show, void

function, status, count = void(), ctypes.c_int(9), ctypes.c_int()
to_function, flags, to_status = ctypes.byref(function), ctypes.c_ulonglong(), ctypes.byref(status)
call("cudaGetDriverEntryPointByVersion", b"cuDeviceGetCount", to_function, 12000, flags, to_status)
get("cudaGetDeviceCount")
show([status.value, ctypes.CFUNCTYPE(ctypes.c_int, void)(function.value)(ctypes.byref(count)), count.value])
found = code("cudaGetDriverEntryPoint", b"cuNothing", to_function, flags, to_status)
show([found, function.value, status.value])
