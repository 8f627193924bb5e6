"""The primary context's state, and what its last release takes with it."""

from client import call, code, show, use
from cuda.bindings import driver

call(driver.cuInit, 0)
states = []


def state():
    states.append([int(v) for v in call(driver.cuDevicePrimaryCtxGetState, 0)][1])


state()
use(0)
use(0)
pointer = call(driver.cuMemAlloc, 1 << 30)
call(driver.cuDevicePrimaryCtxRelease, 0)
state()
call(driver.cuDevicePrimaryCtxRelease, 0)
state()
use(0)
show([states, call(driver.cuMemGetInfo)[0], code(driver.cuMemFree, pointer)])
