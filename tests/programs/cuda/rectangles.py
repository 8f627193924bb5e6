"""A rectangle that is copied to a device with another pitch, and one that is too high for it."""

import ctypes

from client import call, code, show, use
from cuda.bindings import driver

call(driver.cuInit, 0)
use(0)
pointer, pitch = call(driver.cuMemAllocPitch, 10, 4, 4)
data = bytes(range(40))
to = driver.CUDA_MEMCPY2D()
to.srcMemoryType = driver.CUmemorytype.CU_MEMORYTYPE_HOST
buffer = ctypes.create_string_buffer(data, 40)
to.srcHost = ctypes.addressof(buffer)
to.srcPitch, to.WidthInBytes, to.Height = 10, 10, 4
to.dstMemoryType = driver.CUmemorytype.CU_MEMORYTYPE_DEVICE
to.dstDevice, to.dstPitch = pointer, pitch
call(driver.cuMemcpy2D, to)
back = bytearray(pitch * 4)
call(driver.cuMemcpyDtoH, back, pointer, len(back))
to.Height = 5
show(
    [
        [back[row * pitch : row * pitch + 10] == data[10 * row : 10 * row + 10] for row in range(4)],
        code(driver.cuMemcpy2D, to),
    ]
)
