"""Allocations of nothing and of too much, what is freed that is none, managed memory, and a pitch."""

import ctypes

from client import call, code, malloc, show, size, void


def result(function, *arguments):
    address = void(1)
    return [code(function, ctypes.byref(address), *arguments), address.value]


show(
    [
        result("cudaMalloc", size(0)),
        result("cudaMallocHost", size(0)),
        code("cudaFree", None),
        code("cudaFreeHost", None),
    ]
)
address = malloc(4096)
show([code("cudaFree", void(address + 1)), code("cudaFree", void(address)), code("cudaFree", void(address))])
show(code("cudaMalloc", ctypes.byref(void()), size(200 << 30)))
show(code("cudaMalloc", None, size(1)))
managed = malloc(4096, "cudaMallocManaged", 1)
ctypes.memset(managed, 7, 4096)
show([ctypes.string_at(managed, 1)[0], code("cudaFree", void(managed))])
pitch, pitched = size(), void()
call("cudaMallocPitch", ctypes.byref(pitched), ctypes.byref(pitch), size(100), size(3))
show(pitch.value)
