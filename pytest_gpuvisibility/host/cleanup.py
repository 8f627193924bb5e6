"""What every run of the harness leaves on record while it lives, so that a later one can clean up after a crash.

The record is a directory of locked files, one per user, under the directory for temporary files. The lock of a file
says that its owner lives; the kernel lets go of it however the owner dies.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import signal
import stat as modes
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..environment import RUN_VARIABLE
from . import procfs
from .locks import LockFile
from .supervisor import remove_tree

KILL_LIMIT = 10.0


def records_directory() -> Path:
    """The record's directory, made when it is not there.

    :raises PermissionError: someone else owns it.
    """
    path = Path(tempfile.gettempdir()) / f"gpu-visibility-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if found.st_uid != os.getuid() or not modes.S_ISDIR(found.st_mode):
        raise PermissionError(errno.EPERM, "belongs to another user; remove it or set TMPDIR", str(path))
    return path


class RunRecord:
    """The record of one run: its ``id``, and the directories to remove should it end without removing them
    itself.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        lock = None
        while lock is None:  # another run's clean-up may lock the file between its creation and our lock
            self.id = f"{os.getpid()}-{secrets.token_hex(8)}"
            lock = LockFile.acquire(records_directory() / f"{self.id}.run")
        self.lock = lock
        lock.write(json.dumps([str(path) for path in directories]))

    def close(self) -> None:
        self.lock.release()


def remove_abandoned() -> list[int]:
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
    locks = (LockFile.acquire(path) for path in records_directory().glob("*.run"))
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
