"""Calls of virtual memory's functions with sizes, places and devices that are wrong."""

from client import call, code, show
from cuda.bindings import driver as D
from memory import MIB, access, location, properties

size = 2 * MIB
pointer = int(call(D.cuMemAddressReserve, 2 * size, 0, 0, 0))
handle = call(D.cuMemCreate, size, properties(), 0)
show(
    [
        code(D.cuMemCreate, size + 1, properties(), 0),
        code(D.cuMemCreate, size, properties(9), 0),
        code(D.cuMemCreate, 1 << 50, properties(), 0),
        code(D.cuMemAddressReserve, 4095, 0, 0, 0),
        code(D.cuMemAddressReserve, size, 3, 0, 0),
        code(D.cuMemMap, pointer, 2 * size, 0, handle, 0),
        code(D.cuMemMap, pointer, size, size, handle, 0),
        code(D.cuMemMap, pointer + 2 * size, size, 0, handle, 0),
        code(D.cuMemSetAccess, pointer, size, [access()], 1),
    ]
)
call(D.cuMemMap, pointer, size, 0, handle, 0)
show(
    [
        code(D.cuMemMap, pointer, size, 0, handle, 0),
        code(D.cuMemAddressFree, pointer, 2 * size),
        code(D.cuMemUnmap, pointer, size // 2),
        code(D.cuMemUnmap, pointer, 2 * size),
        code(D.cuMemSetAccess, pointer, size, [access(9)], 1),
        code(D.cuMemFree, pointer),
        code(D.cuMemExportToShareableHandle, handle, D.CUmemAllocationHandleType(1), 0),
    ]
)
call(D.cuMemSetAccess, pointer, size, [access(0, "READ"), access(1)], 2)
show([int(call(D.cuMemGetAccess, location(i), pointer)) for i in range(3)])
