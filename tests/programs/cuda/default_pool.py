"""What a device's own pool has in use and in reserve as memory is taken, given back and trimmed."""

from client import call, code, show
from cuda.bindings import driver as D
from memory import MIB, free

A = D.CUmemPool_attribute


def get(name):
    return int(call(D.cuMemPoolGetAttribute, pool, getattr(A, "CU_MEMPOOL_ATTR_" + name)))


def sizes():
    return [get(name) >> 20 for name in ("USED_MEM_CURRENT", "USED_MEM_HIGH", "RESERVED_MEM_CURRENT")]


stream, before = call(D.cuStreamCreate, 0), free()
pool = call(D.cuDeviceGetDefaultMemPool, 0)
steps = []


def step():
    steps.append([*sizes(), before - free() >> 20])


first = call(D.cuMemAllocAsync, 100 * MIB, stream)
step()
call(D.cuMemFreeAsync, first, stream)
step()
call(D.cuMemPoolSetAttribute, pool, A.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, D.cuuint64_t(60 * MIB))
second = call(D.cuMemAllocAsync, 100 * MIB, stream)
pool_of = call(D.cuPointerGetAttribute, D.CUpointer_attribute.CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, second)
call(D.cuMemFree, second)
step()
call(D.cuMemPoolTrimTo, pool, 10 * MIB)
step()
call(D.cuMemPoolSetAttribute, pool, A.CU_MEMPOOL_ATTR_USED_MEM_HIGH, D.cuuint64_t(0))
step()
reuse = A.CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC
show(
    [
        steps,
        int(pool_of) == int(pool),
        int(call(D.cuMemPoolGetAttribute, pool, reuse)),
        code(D.cuMemPoolSetAttribute, pool, A.CU_MEMPOOL_ATTR_USED_MEM_HIGH, D.cuuint64_t(1)),
        code(D.cuMemAllocAsync, 0, stream),
        code(D.cuMemAllocAsync, 1 << 50, stream),
    ]
)
