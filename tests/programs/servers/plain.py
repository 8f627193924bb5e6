"""A server as plain as can be: launcher, workers, balancer. Its arguments are role, mode, port and groups; the mode
says what is odd about it.
"""

import os
import signal
import socket
import subprocess
import sys

role, mode, port, groups = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def start(role, port, environ=None):
    command = [sys.executable, "-I", "-S", __file__, role, mode, str(port), "0"]
    return subprocess.Popen(command, env=environ)


def answer():
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        connection, _ = listener.accept()
        connection.recv(65536)
        if mode == "silent":
            held.append(connection)
            continue
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nanswered by " + str(os.getpid()).encode())
        connection.close()


def become_daemon():
    for _ in range(2):
        if os.fork():
            os._exit(0)
        os.setsid()


held = []
if role == "launcher":
    print("starting", groups, flush=True)
    if mode == "refuses":
        sys.exit("too few devices")
    if mode == "alone":
        port += 1
        answer()
    children = [start("worker", port + 1 + group) for group in range(groups)] + [start("balancer", port)]
    try:
        for child in children:
            child.wait()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        for child in children:
            child.terminate()
elif role == "worker" and mode == "daemon":
    become_daemon()
    os.execve(sys.executable, [sys.executable, "-I", "-S", __file__, "worker", "plain", str(port), "0"], {})
elif role == "worker" and mode == "execs":
    environ = dict(os.environ, CUDA_VISIBLE_DEVICES="late")
    command = [sys.executable, "-I", "-S", __file__, "real-worker", "plain", str(port), "0"]
    os.execve(sys.executable, command, environ)
elif role == "worker" and mode == "forks" and os.fork() == 0:
    signal.pause()
else:
    answer()
