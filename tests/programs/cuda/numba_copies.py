"""numba lists the devices, and copies an array to the second and back."""

import numpy
from numba import cuda

print([device.uuid for device in cuda.gpus.lst] if hasattr(cuda.gpus.lst[0], "uuid") else len(cuda.gpus.lst))
data = numpy.arange(100_000)
with cuda.gpus[1]:
    there = cuda.to_device(data)
    pinned = cuda.pinned_array(10)
    event = cuda.event()
    event.record()
    event.synchronize()
    print((there.copy_to_host() == data).all(), cuda.current_context().get_memory_info().free > 0)
