"""Sends memory as a file descriptor through a socket at argv[1], and says what the other has written there."""

import socket
import sys

from client import call, show
from cuda.bindings import driver as D
from memory import MIB, free, mapped, properties, read, write

handle = call(D.cuMemCreate, 2 * MIB, properties(shared=True), 0)
pointer = mapped(2 * MIB, handle)
write(pointer, b"from one")
address = sys.argv[1]
server = socket.socket(socket.AF_UNIX)
server.bind(address)
server.listen()
show(0)
client, _ = server.accept()
file = int(call(D.cuMemExportToShareableHandle, handle, D.CUmemAllocationHandleType(1), 0))
socket.send_fds(client, [b"x"], [file])
client.recv(1)
show([read(pointer, 10).decode(), call(D.cuMemGetInfo)[1] - free()])
