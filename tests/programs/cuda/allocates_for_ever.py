"""Opens a context, allocates and gives all of it back, until it is killed."""

from client import call, show, use
from cuda.bindings import driver

call(driver.cuInit, 0)
show(0)
while True:
    use(0)
    call(driver.cuMemAlloc, 1 << 20)
    call(driver.cuDevicePrimaryCtxReset, 0)
    call(driver.cuDevicePrimaryCtxRelease, 0)
