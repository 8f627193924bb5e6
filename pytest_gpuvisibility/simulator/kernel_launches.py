"""Kernel launches, which nothing runs on a simulated machine: skipped or refused, and never silently."""

from __future__ import annotations

from typing import NamedTuple

from .machine import Machine


class KernelLaunches(NamedTuple):
    """How many launches did nothing although they succeeded, and how many failed."""

    skipped: int = 0
    refused: int = 0

    @classmethod
    def on(cls, machine: Machine) -> KernelLaunches:
        """Those of all processes on the machine so far."""
        return cls(*machine.kernel_launches())

    def since(self, before: KernelLaunches) -> KernelLaunches:
        return KernelLaunches(self.skipped - before.skipped, self.refused - before.refused)

    def and_also(self, other: KernelLaunches) -> KernelLaunches:
        return KernelLaunches(self.skipped + other.skipped, self.refused + other.refused)

    def sentences(self, option: str) -> list[str]:
        """What to tell a person; nothing where there were none.

        :param option: how launches are skipped here, such as ``--launch noop``.
        """
        said = []
        if self.skipped:
            said.append(f"{_launches(self.skipped)} skipped: values are not real")
        if self.refused:
            said.append(f"{_launches(self.refused)} refused: nothing runs them here; {option} skips them")
        return said


def _launches(count: int) -> str:
    return f"{count:,} kernel launch{'' if count == 1 else 'es'}"
