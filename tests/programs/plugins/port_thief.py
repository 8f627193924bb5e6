"""Takes a port of every server but the first, just before it starts."""

import socket

from pytest_gpuvisibility.server import ServerProcess

start, launched, stolen = ServerProcess.start, [], []


def start_late(self, request):
    launched.append(request)
    if len(launched) > 1:
        stolen.append(socket.create_server(("127.0.0.1", request.ports.first + 1)))
    start(self, request)


ServerProcess.start = start_late
