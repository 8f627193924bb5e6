"""Locks between processes, which the kernel lets go of however their owner dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """While no other process does the same; the file stays."""
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
