"""Receives the memory that is sent at argv[1], says what is there, and writes to it."""

import os
import socket
import sys

from client import call, show
from cuda.bindings import driver as D
from memory import MIB, free, mapped, read, write

client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
_, (file,), _, _ = socket.recv_fds(client, 1, 1)
handle = call(D.cuMemImportFromShareableHandle, file, D.CUmemAllocationHandleType(1))
os.close(file)
before = free()
pointer = mapped(2 * MIB, handle)
seen = read(pointer, 8).decode()
write(pointer, b"from other")
client.send(b"x")
show([seen, before - free(), int(call(D.cuMemGetAllocationPropertiesFromHandle, handle).location.id)])
