"""Sets the variables that its arguments are, for C too, and opens the first device that it is shown then. Without
arguments it initialises CUDA and opens nothing.
"""

import ctypes
import os
import sys

os.environ.update(dict(pair.split("=", 1) for pair in sys.argv[1:]))
libc = ctypes.CDLL(None)
for pair in sys.argv[1:]:
    libc.setenv(*(word.encode() for word in pair.split("=", 1)), 1)
cuda = ctypes.CDLL("libcuda.so.1")
cuda.cuInit(0)
context = ctypes.c_void_p()
if not sys.argv[1:] or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0:
    print("up", flush=True)
sys.stdin.read()
