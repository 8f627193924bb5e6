"""A stream, two events on it, and two callbacks."""

import ctypes
import threading

from client import call, code, show, use
from cuda.bindings import driver

call(driver.cuInit, 0)
use(0)
stream = call(driver.cuStreamCreate, 0)
first, second = call(driver.cuEventCreate, 0), call(driver.cuEventCreate, 0)
called = []
lock = threading.Lock()


def callback(argument):
    with lock:
        called.append(argument)


function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(callback)
address = driver.CUhostFn(ctypes.cast(function, ctypes.c_void_p).value)
call(driver.cuEventRecord, first, stream)
with lock:  # the callback runs in another thread, and may need what its caller holds
    for number in (1, 2):
        call(driver.cuLaunchHostFunc, stream, address, number)
call(driver.cuStreamSynchronize, stream)
call(driver.cuEventRecord, second, stream)
elapsed = call(driver.cuEventElapsedTime, first, second)
call(driver.cuStreamDestroy, stream)
gone, default = (code(driver.cuStreamQuery, s) for s in (stream, driver.CUstream(0)))
show([called, elapsed >= 0, gone, default])
