"""Launches each kernel on the second device, asks about them, and launches two after a binary is forgotten."""

import ctypes

from client import call, get, show, size, void
from kernels import binaries, code_of, forget, launch, names

call("cudaSetDevice", 1)
show(sorted({launch(host) for host in code_of}))
show([get("cudaFuncGetName", host, type=ctypes.c_char_p) for host in code_of] == names)
show(get("cudaOccupancyMaxActiveBlocksPerMultiprocessor", code_of[0], 256, size(0)))
forget(void(binaries[3]))
show([launch(code_of[3]), launch(code_of[4])])
