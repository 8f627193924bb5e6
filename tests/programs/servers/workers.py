"""A server whose last group's worker is started first. Arguments tell nothing; GROUP and PORT are in the environment
alone.
"""

import base64
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys


def start(group):
    environ = {**os.environ, "GROUP": str(group), "PORT": str(port + 1 + group), "ROLE": "worker"}
    return subprocess.Popen([sys.executable, "-I", "-S", __file__], env=environ)


def body(request):
    length = re.search(rb"(?i)content-length: (\d+)", request)
    return int(length[1]) if length else 0


port, role = int(os.environ["PORT"]), os.environ.get("ROLE", "launcher")
if role == "helper":
    signal.pause()
if role == "launcher":
    workers = {group: start(group) for group in reversed(range(int(os.environ["GROUPS"])))}
    while os.environ.get("RESTARTS"):
        pid, _ = os.wait()
        group = next(group for group, worker in workers.items() if worker.pid == pid)
        workers[group] = start(group)
    signal.pause()
subprocess.Popen([sys.executable, "-I", "-S", __file__], env={**os.environ, "ROLE": "helper"})
listener = socket.create_server(("127.0.0.1", port))
print("worker", os.environ["GROUP"], "listens", flush=True)
while True:
    connection, _ = listener.accept()
    request = connection.recv(65536)
    # All of it, body too: a connection that is closed before all was read is reset.
    while not re.search(rb"\r\n\r\n", request) or len(request.partition(b"\r\n\r\n")[2]) < body(request):
        more = connection.recv(65536)
        if not more:
            break
        request += more
    if b"Upgrade: websocket" in request:
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", request)[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key).digest())
        head = b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        connection.sendall(head + accept + b"\r\n\r\n" + b"\x81\x05hello")
        connection.recv(65536)
    else:
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello " + request.partition(b"\r\n\r\n")[0])
    connection.close()
