"""What a child is answered whose parent has used a device."""

import ctypes
import os

from client import call, code, show, size, void

call("cudaSetDevice", 0)
if child := os.fork():
    os.waitpid(child, 0)
else:
    show([code("cudaSetDevice", 0), code("cudaMalloc", ctypes.byref(void()), size(1))])
    os._exit(0)
