"""Where one process keeps the simulated machines of its tests: made fast, removed for certain."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from ..environment import RUN_VARIABLE
from ..host import TemporaryDirectories, kill_marked
from ..inventory import Inventory
from ..simulator import Machine, write_tools

IN_MEMORY = Path("/dev/shm")
ROOM_IN_MEMORY = 32 << 20
"""Bytes that must be free there. A machine takes 0.1 MiB; containers often have 64 MiB for all workers together."""


class Machines:
    """The machines that tests are given, until :meth:`close`.

    They are in memory where the system has a place for that: there a file costs a tenth of what it costs on a disk.
    Their programs are not, because such places often forbid to run any.
    """

    def __init__(self) -> None:
        self._directories = TemporaryDirectories([None, _place_in_memory()])
        self._tools, self._machines = self._directories.paths
        self._closed = False
        self._numbers = itertools.count(1)
        write_tools(self._tools)

    @property
    def mark(self) -> dict[str, str]:
        """The variable by which programs of these machines are found after a crash."""
        return {RUN_VARIABLE: self._directories.run}

    def new(self, inventory: Inventory, kernel_launches: str = "error") -> Machine:
        """A new machine; its close() removes it, at the latest this one's.

        :param kernel_launches: as :meth:`Machine.create` has it.
        """
        directory = self._machines / str(next(self._numbers))
        return Machine.create(inventory, directory, kernel_launches=kernel_launches, tools=self._tools)

    def close(self) -> None:
        """End every program that still runs on one of the machines, and remove them. Twice does no harm."""
        if self._closed:
            return
        self._closed = True
        kill_marked([self._directories.run])
        self._directories.close()


def _place_in_memory() -> Path | None:
    if not os.access(IN_MEMORY, os.W_OK | os.X_OK):
        return None
    facts = os.statvfs(IN_MEMORY)
    return IN_MEMORY if facts.f_bavail * facts.f_frsize >= ROOM_IN_MEMORY else None
