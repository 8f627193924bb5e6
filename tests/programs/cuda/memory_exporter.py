"""Exports memory and an event, and says what another process has written there."""

import ctypes
import sys

from client import call, code, show
from cuda.bindings import driver as D
from memory import MIB, read, write

pointer = int(call(D.cuMemAlloc, 3 * MIB))
write(pointer, b"from one")
event = call(D.cuEventCreate, 2 | 4)
handles = [call(D.cuIpcGetMemHandle, pointer), call(D.cuIpcGetEventHandle, event)]
own = handles[0]
show([ctypes.string_at(handle.getPtr(), 64).hex() for handle in handles])
show(code(D.cuIpcOpenMemHandle, own, 1))
sys.stdin.readline()
show(read(pointer, 10).decode())
