"""Two contexts are made, used, popped and destroyed."""

import sys

from client import call, code, show
from cuda.bindings import driver

call(driver.cuInit, 0)
none = code(driver.cuCtxGetDevice)
first = call(driver.cuCtxCreate, None, 0, 0)
second = call(driver.cuCtxCreate, None, 0, 1)
on_second = int(call(driver.cuCtxGetDevice))
call(driver.cuMemAlloc, 1 << 20)
popped = int(call(driver.cuCtxPopCurrent)) == int(second)
on_first = int(call(driver.cuCtxGetDevice))
call(driver.cuCtxDestroy, second)
again = code(driver.cuCtxPushCurrent, second)
stray = code(driver.cuCtxSetCurrent, driver.CUcontext(0x1234))
call(driver.cuCtxDestroy, first)
show([none, on_second, popped, on_first, again, stray, code(driver.cuCtxGetDevice)])
sys.stdin.readline()
