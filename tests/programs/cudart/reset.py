"""What is left of memory, and free, after a reset."""

import ctypes

from client import call, code, malloc, show, size, void


def free():
    values = size(), size()
    call("cudaMemGetInfo", *map(ctypes.byref, values))
    return values[0].value


before = free()
address = malloc(1 << 30)
call("cudaDeviceReset")
show([code("cudaFree", void(address)), free() == before])
