"""Takes more than a device has free, then all of it, then one byte more, and gives it back."""

from client import call, code, show, use
from cuda.bindings import driver

call(driver.cuInit, 0)
use(0)
free, total = call(driver.cuMemGetInfo)
too_much = code(driver.cuMemAlloc, free + 1)
everything = call(driver.cuMemAlloc, free)
left = call(driver.cuMemGetInfo)[0]
one_more = code(driver.cuMemAlloc, 1)
call(driver.cuMemFree, everything)
show([free, total, too_much, left, one_more, call(driver.cuMemGetInfo)[0]])
