"""Calls each function that its arguments name, with nothing and with a pointer to zeros, before and after a device is
chosen. The last line on stderr is the function that it died of.
"""

import ctypes
import sys

from client import call, cuda, show, void

zeros = ctypes.create_string_buffer(1 << 16)
middle = void(ctypes.addressof(zeros) + 4096)
for initialised in False, True:
    if initialised:
        call("cudaSetDevice", 0)
    for function in sys.argv[1:]:
        if hasattr(cuda, function):
            print(function, file=sys.stderr, flush=True)
            cuda[function](*[void()] * 10)
            if not function.startswith("__"):  # those are called by what nvcc compiles, with handles of ours
                cuda[function](*[middle] * 10)
show("alive")
