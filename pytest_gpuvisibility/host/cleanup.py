"""What every run of the harness leaves on record while it lives, so that a later one can clean up after a
crash.

The record is a directory of locked files, one per user, under the directory for temporary files. The lock of
a file says that its owner lives; the kernel lets go of it however the owner dies. Ports are reserved in the
same way.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import random
import secrets
import signal
import socket
import stat as modes
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..environment import RUN_VARIABLE
from . import procfs
from .supervisor import remove_tree

BLOCK = 16
"""Ports are reserved in blocks of so many, aligned: one lock each."""
KILL_LIMIT = 10.0
FIRST_PORT = 12_288
LAST_PORT = 32_768
"""Ports from FIRST_PORT to below LAST_PORT, and below those that the kernel gives to clients."""


def directory() -> Path:
    """The record's directory, made when it is not there.

    :raises PermissionError: someone else owns it.
    """
    path = Path(tempfile.gettempdir()) / f"gpu-visibility-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if found.st_uid != os.getuid() or not modes.S_ISDIR(found.st_mode):
        raise PermissionError(errno.EPERM, "belongs to another user; remove it or set TMPDIR", str(path))
    return path


class LockFile:
    """A file that exists and is locked from :meth:`acquire` to :meth:`release`, or until all that hold it
    have died.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path) -> LockFile | None:
        """None: somebody else holds it."""
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    return cls(path, descriptor)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except FileNotFoundError:
                pass
            # Its last owner removed the file between our opening and locking it: ours is not at `path`.
            os.close(descriptor)

    def read(self) -> str:
        return os.pread(self.descriptor, 1 << 20, 0).decode()

    def write(self, text: str) -> None:
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, text.encode(), 0)

    def release(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


class Run:
    """The record of one run: its ``id``, and the directories to remove should it end without removing them
    itself.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        lock = None
        while lock is None:  # a sweep may lock the file between its creation and our lock
            self.id = f"{os.getpid()}-{secrets.token_hex(8)}"
            lock = LockFile.acquire(directory() / f"{self.id}.run")
        self.lock = lock
        lock.write(json.dumps([str(path) for path in directories]))

    def close(self) -> None:
        self.lock.release()


def sweep() -> list[int]:
    """Kill what crashed runs have left behind and remove their directories. Pids of the processes that were
    killed.
    """
    runs = _abandoned()
    if not runs:
        return []
    try:
        killed = kill_marked([lock.path.stem for lock in runs])
        for lock in runs:
            for path in json.loads(lock.read() or "[]"):
                remove_tree(path)
    finally:
        for lock in runs:
            lock.release()
    return killed


def _abandoned() -> list[LockFile]:
    locks = (LockFile.acquire(path) for path in directory().glob("*.run"))
    return [lock for lock in locks if lock is not None]


def kill_marked(ids: Sequence[str], variable: str = RUN_VARIABLE) -> list[int]:
    """Kill all processes of the given runs, and their descendants. Returns their pids when they are gone.

    ``variable``: another environment variable to know them by.

    Gives up on what does not die within KILL_LIMIT seconds, or is not ours to kill.
    """
    killed: dict[int, None] = {}
    deadline = time.monotonic() + KILL_LIMIT
    while True:
        found = [pid for pid in _with_descendants(procfs.marked(variable, ids)) if pid != os.getpid()]
        alive = [pid for pid in found if (facts := procfs.stat(pid)) is not None and facts.alive]
        if not alive:
            return list(killed)
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                killed[pid] = None
        if killed.keys().isdisjoint(alive) or time.monotonic() > deadline:
            return list(killed)
        time.sleep(0.02)


def _with_descendants(pids: Iterable[int]) -> list[int]:
    return list(dict.fromkeys(below for pid in pids for below in (pid, *procfs.family(pid))))


class Ports:
    """Consecutive TCP ports that no other scenario takes, and that were free when they were reserved.

    ``locks``: descriptors; the reservation holds until :meth:`release`, and until all that inherited them are
    gone.
    """

    def __init__(self, first: int, count: int, locks: Sequence[socket.socket]) -> None:
        self.first = first
        self.count = count
        self._locks = locks

    @classmethod
    def reserve(cls, count: int) -> Ports:
        """:raises OSError: no such range is free."""
        blocks = -(-count // BLOCK)
        starts = list(range(FIRST_PORT, _end_of_range() - blocks * BLOCK + 1, BLOCK))
        random.shuffle(starts)
        for start in starts:
            ports = cls(start, count, _lock_blocks(start, blocks))
            if ports.locks and all(map(_is_free, ports)):
                return ports
            ports.release()
        raise OSError(
            errno.EADDRINUSE,
            f"no {count} consecutive ports are free from {FIRST_PORT} to {_end_of_range() - 1}",
        )

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.first + self.count))

    @property
    def locks(self) -> list[int]:
        return [lock.fileno() for lock in self._locks]

    def release(self) -> None:
        for lock in self._locks:
            lock.close()
        self._locks = ()


def _lock_blocks(start: int, blocks: int) -> list[socket.socket]:
    """All of them or none."""
    locks = []
    for block in range(blocks):
        # A name in Linux' abstract namespace: like a port, and unlike a file, it belongs to the machine or
        # container, whatever the user and TMPDIR, and the kernel removes it.
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        locks.append(lock)
        try:
            lock.bind(f"\0gpu-visibility/ports/{start + block * BLOCK}")
        except OSError:
            for taken in locks:
                taken.close()
            return []
    return locks


def _end_of_range() -> int:
    with contextlib.suppress(OSError, ValueError):
        ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        if ephemeral > FIRST_PORT + 64 * BLOCK:
            return min(ephemeral, LAST_PORT)
    return LAST_PORT


def _is_free(port: int) -> bool:
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, port))
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                return False
    return True
