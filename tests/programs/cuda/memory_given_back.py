"""How much of the host's memory stands behind a device's that is written, zeroed and freed."""

import os

from client import call, show
from cuda.bindings import driver as D
from memory import MIB, read


def resident():
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith("RssShmem"))
    return int(line.split()[1]) >> 10


pointer = int(call(D.cuMemAlloc, 64 * MIB))
call(D.cuMemsetD8, pointer, 1, 64 * MIB)
written = resident()
call(D.cuMemsetD8, pointer, 0, 64 * MIB)
zeroed = resident()
zero = read(pointer + 12345, 3) == bytes(3)
call(D.cuMemsetD8, pointer, 1, 64 * MIB)
call(D.cuMemFree, pointer)
blocks = sum(
    os.stat(f"/proc/self/fd/{name}").st_blocks
    for name in os.listdir("/proc/self/fd")
    if "gpu-visibility" in os.path.realpath(f"/proc/self/fd/{name}")
    and "memfd" in os.path.realpath(f"/proc/self/fd/{name}")
)
show([written >= 64, zeroed < 8, zero, blocks])
