"""Copies that begin or end outside an allocation, and allocations that are none."""

from client import call, code, show, use
from cuda.bindings import driver

call(driver.cuInit, 0)
use(0)
pointer = int(call(driver.cuMemAlloc, 1000))


def fill(start, size):
    return code(driver.cuMemcpyHtoD, start, bytes(size), size)


show([fill(pointer, 1001), fill(pointer + 1, 1000), fill(pointer + 1, 999)])
show([code(driver.cuMemcpyDtoD, pointer + 999, pointer, 2), code(driver.cuMemFree, pointer + 1)])
show([code(driver.cuMemFree, pointer), code(driver.cuMemFree, pointer), fill(pointer, 1)])
show(code(driver.cuMemAlloc, 0))
