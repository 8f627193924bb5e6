"""Two pieces of memory are mapped side by side into a range of addresses."""

import os

from client import call, code, show
from cuda.bindings import driver as D
from memory import access, location, properties, read, write

size = call(D.cuMemGetAllocationGranularity, properties(), D.CUmemAllocationGranularity_flags(0))
pointer = int(call(D.cuMemAddressReserve, 4 * size, 0, 0, 0))
first, second = call(D.cuMemCreate, size, properties(), 0), call(D.cuMemCreate, 2 * size, properties(), 0)
call(D.cuMemMap, pointer, size, 0, first, 0)
call(D.cuMemMap, pointer + size, 2 * size, 0, second, 0)
before = [write(pointer, b"x"), code(D.cuMemGetAccess, location(), pointer)]
call(D.cuMemSetAccess, pointer, 3 * size, [access()], 1)
data = os.urandom(2 * size)  # across both mappings
after = [write(pointer + size // 2, data), read(pointer + size // 2, 2 * size) == data]
show([size, before, after, int(call(D.cuMemGetAccess, location(), pointer))])
show(
    [
        write(pointer + 3 * size - 1, b"xx"),
        write(pointer + 3 * size, b"x"),
        code(D.cuMemcpy, pointer, pointer + 3 * size, 1),
    ]
)
