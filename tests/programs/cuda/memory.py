"""What clients begin with that are about memory. Importing it opens a context on the first device."""

from client import call, code, use
from cuda.bindings import driver as D

MIB = 1 << 20

call(D.cuInit, 0)
use(0)


def location(ordinal=0):
    made = D.CUmemLocation()
    made.type, made.id = D.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE, ordinal
    return made


def properties(ordinal=0, shared=False):
    made = D.CUmemAllocationProp()
    made.type = D.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    made.location = location(ordinal)
    types = D.CUmemAllocationHandleType
    made.requestedHandleTypes = (
        types.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR if shared else types.CU_MEM_HANDLE_TYPE_NONE
    )
    return made


def access(ordinal=0, how="READWRITE"):
    made = D.CUmemAccessDesc()
    made.location = location(ordinal)
    made.flags = getattr(D.CUmemAccess_flags, "CU_MEM_ACCESS_FLAGS_PROT_" + how)
    return made


def mapped(size, handle):
    pointer = int(call(D.cuMemAddressReserve, size, 0, 0, 0))
    call(D.cuMemMap, pointer, size, 0, handle, 0)
    call(D.cuMemSetAccess, pointer, size, [access()], 1)
    return pointer


def write(pointer, data):
    return code(D.cuMemcpyHtoD, pointer, data, len(data))


def read(pointer, size):
    data = bytearray(size)
    call(D.cuMemcpyDtoH, data, pointer, size)
    return bytes(data)


def free():
    return call(D.cuMemGetInfo)[0]
