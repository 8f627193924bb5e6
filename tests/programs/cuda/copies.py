"""Data that goes to a device, from there to another place on it, and back; and what is set there."""

import os

from client import call, show, use
from cuda.bindings import driver

call(driver.cuInit, 0)
use(1)
size = 3 << 20
data = os.urandom(size)
first, second = call(driver.cuMemAlloc, size), call(driver.cuMemAlloc, size)
call(driver.cuMemcpyHtoD, first, data, size)
call(driver.cuMemcpyDtoD, second, first, size)
back = bytearray(size)
call(driver.cuMemcpyDtoH, back, second, size)
call(driver.cuMemsetD8, second, 7, 100)
call(driver.cuMemsetD32, int(second) + 100, 0x01020304, 2)
call(driver.cuMemsetD8, int(second) + 108, 0, size - 108)
partly = bytearray(size)
call(driver.cuMemcpyDtoH, partly, second, size)
show([bytes(back) == data, bytes(partly) == b"\7" * 100 + bytes([4, 3, 2, 1] * 2) + bytes(size - 108)])
