"""What a forked child is answered whose parent has initialised CUDA, and the parent after it."""

import os

from client import call, code, show, use
from cuda.bindings import driver

call(driver.cuInit, 0)
use(0)
child = os.fork()
if child == 0:
    show([code(driver.cuInit, 0), code(driver.cuDeviceGetCount), code(driver.cuMemAlloc, 1024)])
    os._exit(0)
os.waitpid(child, 0)
show(code(driver.cuMemAlloc, 1024))
