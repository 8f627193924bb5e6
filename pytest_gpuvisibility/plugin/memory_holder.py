"""Another process that holds a device's memory, as somebody else's does."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from ..inventory import driver_client


class MemoryHolder:
    """Another process that holds memory of a device, until :meth:`release` or the machine's end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def release(self) -> None:
        """End the process; its memory is free when this returns."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> MemoryHolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def hold(mebibytes: int, environ: Mapping[str, str]) -> tuple[MemoryHolder | None, str]:
    """Let a process hold so much of the first device that it sees; the process, or None and why it cannot."""
    process = subprocess.Popen(
        driver_client.command("hold", str(mebibytes)),
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    holder = MemoryHolder(process)
    assert process.stdout is not None
    answer = process.stdout.readline().strip()
    if answer == "held":
        return holder, ""
    holder.release()
    return None, answer or "the process died"
