"""What happened to a launched server and when, for people."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping

from ..records import Event
from .roles import ProcessFacts


class Timeline:
    """Begins with :meth:`begin`. ``events`` are what was done to the server and what came of that, in order.

    ``on_event`` is called at each of them, before a signal is sent.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.on_event: Callable[[], object] = lambda: None
        self._began = 0.0
        self._answers: dict[str, str] = {}

    def begin(self) -> None:
        """The launch is about to happen: all seconds count from now."""
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def launched(self, pid: int) -> None:
        self.on_event()
        self.events.append(Event(0.0, "launch", f"launched as process {pid}"))

    def tell(self, kind: str, text: str) -> None:
        """Something happens now. ``kind``: see :class:`Event`."""
        self.on_event()
        self.events.append(Event(self.seconds, kind, text))

    def tell_answers(self, answers: Mapping[str, str]) -> None:
        """What became of a request to each group; a group that says the same again is not told of again."""
        for group, answer in answers.items():
            if self._answers.get(group) != answer:
                self.tell("request", f"asked group {group}: {answer}")
        self._answers.update(answers)

    def whole(self, seen: Mapping[int, ProcessFacts]) -> list[Event]:
        """``events`` and the lives of all processes seen, in the order of their beginning."""
        launched = time.time() - self.seconds
        lives = [
            Event(
                max(0.0, facts.first_seen - launched),
                "process",
                f"{title(facts)}{'' if facts.exit_code is None else f': {exit_words(facts.exit_code)}'}",
                None if facts.ended is None else max(0.0, facts.ended - launched),
            )
            for facts in seen.values()
        ]
        return sorted([*lives, *self.events], key=lambda event: (event.kind != "launch", event.seconds))


def title(facts: ProcessFacts) -> str:
    """A process in a few words: role, group, pid."""
    group = "" if facts.group is None else f" {facts.group}"
    program = f" {os.path.basename(facts.argv[0])}" if facts.role == "other" and facts.argv else ""
    return f"{facts.role}{group}{program} ({facts.pid})"


def exit_words(code: int | None) -> str:
    """``exit code 1``, ``killed by SIGKILL``."""
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has no name
        return f"killed by signal {-code}"
