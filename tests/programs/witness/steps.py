"""Initialises CUDA, and takes the steps that are its argument."""

import ctypes
import os
import sys

cuda = ctypes.CDLL("libcuda.so.1")
assert cuda.cuInit(0) == 0


def context(ordinal):
    made = ctypes.c_void_p()
    assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(made), ordinal) == 0
    assert cuda.cuCtxSetCurrent(made) == 0
    return made


class Access(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("id", ctypes.c_int), ("flags", ctypes.c_int)]


def open_pool(ordinal, flags):
    pool, access = ctypes.c_void_p(), Access(1, ordinal, flags)
    assert cuda.cuDeviceGetDefaultMemPool(ctypes.byref(pool), 0) == 0
    assert cuda.cuMemPoolSetAccess(pool, ctypes.byref(access), ctypes.c_size_t(1)) == 0


exec(sys.argv[1], {"context": context, "cuda": cuda, "open_pool": open_pool, "os": os})
