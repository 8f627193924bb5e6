"""Pools of a program's own: made, used, destroyed, and opened to other devices."""

from client import call, code, show
from cuda.bindings import driver as D
from memory import MIB, access, free, location, write

before = free()


def make(ordinal=0, limit=0, type=0):
    wanted = D.CUmemPoolProps()
    wanted.allocType = D.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    wanted.location, wanted.maxSize = location(ordinal), limit
    wanted.handleTypes = D.CUmemAllocationHandleType(type)
    return D.cuMemPoolCreate(wanted)


_, pool = make(limit=50 * MIB)
default = call(D.cuDeviceGetDefaultMemPool, 0)
call(D.cuDeviceSetMemPool, 0, pool)
mine = int(call(D.cuDeviceGetMemPool, 0)) == int(pool)
pointer = call(D.cuMemAllocAsync, 40 * MIB, 0)
too_much = code(D.cuMemAllocAsync, 20 * MIB, 0)
elsewhere = code(D.cuMemAllocFromPoolAsync, 20 * MIB, default, 0)
call(D.cuMemPoolDestroy, pool)
back = int(call(D.cuDeviceGetMemPool, 0)) == int(default)
show([mine, too_much, elsewhere, back, write(pointer, b"still there"), code(D.cuMemPoolTrimTo, pool, 0)])
call(D.cuMemFreeAsync, pointer, 0)
show([before - free() >> 20, code(D.cuMemPoolDestroy, default), int(make(type=1)[0]), int(make(9)[0])])
_, other = make(1)
show(
    [
        code(D.cuDeviceSetMemPool, 0, other),
        code(D.cuMemPoolSetAccess, other, [access(0)], 1),
        code(D.cuMemPoolSetAccess, other, [access(1, "NONE")], 1),
        [int(call(D.cuMemPoolGetAccess, other, location(i))) for i in range(3)],
    ]
)
