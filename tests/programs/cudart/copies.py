"""Copies in every direction, between devices, of rectangles, and ones that are wrong."""

import ctypes

from client import BETWEEN, DEFAULT, TO_DEVICE, TO_HOST, call, code, malloc, show, size, void

data, back = bytes(range(256)) * 4, ctypes.create_string_buffer(1024)
a, b = malloc(1024), malloc(1024)
call("cudaMemcpy", void(a), data, size(1024), TO_DEVICE)
call("cudaMemcpyAsync", void(b), void(a), size(1024), BETWEEN, None)
call("cudaMemcpy", back, void(b), size(1024), TO_HOST)
show(back.raw == data)
call("cudaMemset", void(b), 0xAB, size(1000))
call("cudaMemcpy", back, void(b), size(1024), DEFAULT)
show(back.raw == b"\xab" * 1000 + data[1000:])
call("cudaSetDevice", 2)
c = malloc(1024)
call("cudaMemcpyPeer", void(c), 2, void(a), 0, size(1024))
call("cudaMemcpy", back, void(c), size(1024), TO_HOST)
show(back.raw == data)
call("cudaMemset2D", void(c), size(64), 0, size(16), size(16))
small = ctypes.create_string_buffer(256)
call("cudaMemcpy2D", small, size(16), void(c), size(64), size(16), size(16), TO_HOST)
show(small.raw == bytes(256))
call("cudaMemcpy2DAsync", small, size(16), void(c + 16), size(64), size(16), size(16), TO_HOST, None)
show(small.raw == b"".join(data[row * 64 + 16 : row * 64 + 32] for row in range(16)))
show(
    [
        code("cudaMemcpy", back, void(c), size(1), 9),
        code("cudaMemcpy", back, void(c), size(1025), TO_HOST),
        code("cudaMemcpy2D", small, size(8), void(c), size(64), size(16), size(1), TO_HOST),
        code("cudaMemcpyPeer", void(c), 9, void(a), 0, size(1)),
    ]
)
