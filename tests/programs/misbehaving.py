"""Does something that a server should not, and then becomes the server: `misbehaving.py WHAT -- COMMAND...`."""

from __future__ import annotations

import os
import signal
import sys
import time

CHUNK = b"a line that says nothing at all, over and over again, until the disk is full\n" * 1000


def child(act: object, *arguments: object) -> None:
    """Do it in a process of its own, which lives on beside the server."""
    if os.fork() == 0:
        try:
            act(*arguments)  # type: ignore[operator]
        finally:
            os._exit(0)


def pause() -> None:
    while True:
        time.sleep(3600)


def spew(mebibytes: int) -> None:
    for _ in range((mebibytes << 20) // len(CHUNK)):
        os.write(1, CHUNK)
    os.write(1, b"the last line of all\n")


def ignore_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pause()


def escape() -> None:
    """Leave session, process group, parent and environment behind, as a daemon does."""
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", "import time; time.sleep(3600)"], {})
    os._exit(0)


def main() -> None:
    what, _, *command = sys.argv[1:]
    name, _, number = what.partition("=")
    if name == "spew":
        child(spew, int(number))
    elif name == "ignore-sigterm":
        child(ignore_sigterm)
    elif name == "escape":
        child(escape)
    elif name == "processes":
        for _ in range(int(number)):
            child(pause)
    else:
        raise SystemExit(f"unknown: {what}")
    os.execv(command[0], command)


main()
