"""Takes all the memory it can get, once it is told to, and keeps it."""

import sys

from client import call, code, show, use
from cuda.bindings import driver

call(driver.cuInit, 0)
use(0)
show(0)
sys.stdin.readline()
got = 0
while code(driver.cuMemAlloc, 1 << 28) == 0:
    got += 1 << 28
show(got)
sys.stdin.readline()
