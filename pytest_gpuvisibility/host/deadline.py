"""How long to wait for a server: by the time that it was given, not by the time that a loaded machine took from it.

A deadline decides verdicts, and slow is never a violation. So the seconds in which the server's processes were ready to
run and had no CPU do not count. A server that hangs waits for something else, and gains nothing by this.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

MOST = 4.0
"""A deadline becomes at most this many times as long again, however loaded the machine is."""

Delays = Callable[[], Mapping[int, float]]
"""Process -> seconds that it has waited for a CPU since it started."""


class Deadline:
    """A deadline of ``seconds`` from now. ``delays`` is asked now, and again only when the deadline has come."""

    def __init__(self, seconds: float, delays: Delays) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._delays = delays
        self._before = dict(delays())

    def left(self) -> float:
        """Seconds; none or less when the deadline has passed."""
        left = self._end - time.monotonic()
        return left if left > 0 else left + min(self._starved(), MOST * self._seconds)

    def _starved(self) -> float:
        """What the processes have waited since, one after the other: a start-up is a chain of them."""
        return sum(max(0.0, delay - self._before.get(process, 0.0)) for process, delay in self._delays().items())
