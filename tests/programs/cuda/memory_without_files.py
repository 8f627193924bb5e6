"""Takes and writes memory where a program may not have the file that it lies in, or has closed it, as argv[1] says."""

import os
import resource
import sys

from client import call, code, show
from cuda.bindings import driver as D
from memory import MIB, mapped, properties, read, write

kept = call(D.cuMemAlloc, 4096)
if sys.argv[1] == "limited files":
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
else:
    call(D.cuMemAlloc, 4096)
    os.closerange(3, 256)
pointer, handle = call(D.cuMemAlloc, MIB), call(D.cuMemCreate, 2 * MIB, properties(), 0)
data = os.urandom(MIB)
write(pointer, data)
show(
    [
        read(pointer, MIB) == data,
        write(mapped(2 * MIB, handle), data),
        write(kept, b"x"),
        code(D.cuIpcGetMemHandle, kept),
    ]
)
