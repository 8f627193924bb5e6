"""What every client of the CUDA runtime here begins with: ctypes, and the library whose path is in CUDART.

``show`` is the only way that a client tells its test something.
"""

import ctypes
import json
import os

cuda = ctypes.CDLL(os.environ["CUDART"])
cuda.cudaGetErrorName.restype = cuda.cudaGetErrorString.restype = ctypes.c_char_p

size, void = ctypes.c_size_t, ctypes.c_void_p
TO_DEVICE, TO_HOST, BETWEEN, DEFAULT = 1, 2, 3, 4


def name(code):
    return cuda.cudaGetErrorName(code).decode()


def call(function, *arguments):
    code = getattr(cuda, function)(*arguments)
    assert code == 0, (function, name(code), cuda.cudaGetErrorString(code))


def code(function, *arguments):
    return name(getattr(cuda, function)(*arguments))


def get(function, *arguments, type=ctypes.c_int):
    value = type()
    call(function, ctypes.byref(value), *arguments)
    return value.value


def malloc(size, function="cudaMalloc", *arguments):
    return get(function, ctypes.c_size_t(size), *arguments, type=ctypes.c_void_p)


def show(value):
    print(json.dumps(value), flush=True)
