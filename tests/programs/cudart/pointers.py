"""What the runtime says of pointers of every kind."""

import ctypes

from client import call, code, malloc, show, size, void


class Attributes(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("device", ctypes.c_int),
        ("on_device", void),
        ("on_host", void),
        ("reserved", ctypes.c_long * 8),
    ]


def what(pointer):
    found = Attributes()
    call("cudaPointerGetAttributes", ctypes.byref(found), void(pointer))
    same = {None: None, pointer: "same"}
    return [found.type, found.device, same[found.on_device], same[found.on_host]]


call("cudaSetDevice", 1)
here = ctypes.create_string_buffer(4096)
show(what(malloc(4096) + 100))
show(what(malloc(4096, "cudaMallocManaged", 1)))
show(what(malloc(4096, "cudaMallocHost")))
show(what(ctypes.addressof(here)))
call("cudaHostRegister", here, size(4096), 0)
show(what(ctypes.addressof(here)))
call("cudaHostUnregister", here)
show(code("cudaHostUnregister", here))
