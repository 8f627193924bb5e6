"""Opens the memory and the event whose handles are its arguments."""

import ctypes
import sys

from client import call, code, show
from cuda.bindings import driver as D
from memory import MIB, free, read, write

memory, event = D.CUipcMemHandle(), D.CUipcEventHandle()
for handle, text in zip((memory, event), sys.argv[1:], strict=True):
    ctypes.memmove(handle.getPtr(), bytes.fromhex(text), 64)


def opened():
    return D.cuIpcOpenMemHandle(memory, 1)


result, pointer = opened()
if int(result):
    show([int(result), code(D.cuIpcOpenEventHandle, event)])
    sys.exit()
pointer, before = int(pointer), free()
again = int(opened()[1])
seen = read(pointer, 8).decode()
write(pointer, b"from other")
imported = call(D.cuIpcOpenEventHandle, event)
ready = [code(D.cuEventQuery, imported), code(D.cuIpcGetEventHandle, imported)]
errors = [code(D.cuMemFree, pointer), code(D.cuIpcOpenMemHandle, memory, 0), write(pointer + 3 * MIB, b"x")]
closed = [code(D.cuIpcCloseMemHandle, pointer) for _ in range(3)]
show([seen, pointer == again, before - free(), ready, errors, closed])
