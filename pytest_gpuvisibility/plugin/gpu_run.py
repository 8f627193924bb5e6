"""What became of a program on a simulated machine: its end, and which devices it and its children touched."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..inventory import AnyDevice, Inventory
from ..simulator import LedgerRecord
from . import asserts
from .asserts import GpuProcess, TouchedDevices

LAST_WORDS = 20
"""Lines of a program's output that an error shows."""


class ProgramFailed(subprocess.CalledProcessError):
    """A program ended with an error. ``run`` is the whole of it, ``str()`` its last words."""

    def __init__(self, run: GpuRun) -> None:
        super().__init__(run.returncode, list(run.command), run.stdout, run.stderr)
        self.run = run

    def __str__(self) -> str:
        return f"{self.run.ending}. Where that is right, say check=False.\n{self.run.last_words}"


@dataclass(frozen=True, repr=False)
class GpuRun:
    """What became of a program, and which devices it and its descendants touched.

    ``touched``: the devices on which a process opened a context or allocated memory. ``permitted``: what the mask that
    it was started under shows, in CUDA's order. ``processes``: each process that initialised the driver. ``records``:
    the raw ledger. A process that outlives the program adds nothing more.
    """

    command: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    inventory: Inventory
    permitted: tuple[AnyDevice, ...]
    processes: tuple[GpuProcess, ...]
    records: tuple[LedgerRecord, ...] = field(repr=False)

    @property
    def touched(self) -> TouchedDevices:
        return TouchedDevices.of(self)

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        return f"{_shown(self.command)} ended with exit code {self.returncode}"

    @property
    def last_words(self) -> str:
        """The end of what it wrote, on stderr or else on stdout."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return "\n".join(f"  {line}" for line in lines[-LAST_WORDS:]) or "  (it wrote nothing)"

    def assert_touched_only(self, devices: Iterable[AnyDevice] | None = None) -> None:
        """Fail, with a table of processes and devices, if one that is not among ``devices`` was touched.

        So does a program that ended with an error before it initialised CUDA: it shows nothing.

        :param devices: by default those that the mask permits.
        """
        __tracebackhide__ = True
        self._assert_that_it_ran()
        asserts.assert_touched_only(self, devices)

    def assert_nothing_touched(self) -> None:
        """Fail, with a table of processes and devices, if any device was touched.

        So does a program that ended with an error before it initialised CUDA: it shows nothing.
        """
        __tracebackhide__ = True
        self._assert_that_it_ran()
        asserts.assert_nothing_touched(self)

    def _assert_that_it_ran(self) -> None:
        __tracebackhide__ = True
        if self.returncode != 0 and not self.processes:
            raise AssertionError(
                f"{self.ending} before it had initialised CUDA, so what it touched shows nothing:\n{self.last_words}"
            )

    def __repr__(self) -> str:
        touched = ", ".join(map(repr, self.touched)) or "nothing"
        return f"<{type(self).__name__} {_shown(self.command)}: exit code {self.returncode}, touched {touched}>"


@dataclass(frozen=True, repr=False)
class GpuCall(GpuRun):
    """What became of a function in a process of its own. ``value``: what it returned."""

    value: Any = None


def _shown(command: tuple[str, ...]) -> str:
    words = " ".join((Path(command[0]).name, *command[1:]))
    return words if len(words) <= 80 else f"{words[:80]}…"
