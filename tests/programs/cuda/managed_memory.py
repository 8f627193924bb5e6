"""Managed memory, written by the host; advice about it and prefetches, right and wrong."""

import ctypes

from client import call, code, show
from cuda.bindings import driver as D
from memory import MIB, location, read

pointer = int(call(D.cuMemAllocManaged, 2 * MIB, 1))
ctypes.memset(pointer, 7, 100)
host = D.CUmemLocation()
host.type = D.CUmemLocationType.CU_MEM_LOCATION_TYPE_HOST
advice = D.CUmem_advise.CU_MEM_ADVISE_SET_PREFERRED_LOCATION
plain = call(D.cuMemAlloc, 4096)
show(
    [
        read(pointer, 3) == bytes([7] * 3),
        code(D.cuMemAdvise, pointer, 2 * MIB, advice, location(1)),
        code(D.cuMemAdvise, pointer, 2 * MIB, advice, host),
        code(D.cuMemPrefetchAsync, pointer, 4096, location(), 0, 0),
    ]
)
show(
    [
        code(D.cuMemAdvise, pointer, 2 * MIB + 1, advice, host),
        code(D.cuMemAdvise, plain, 4096, advice, host),
        code(D.cuMemAdvise, pointer, 4096, advice, location(9)),
        code(D.cuMemPrefetchAsync, pointer, 4096, location(9), 0, 0),
        code(D.cuMemAllocManaged, 4096, 4),
    ]
)
