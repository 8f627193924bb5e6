"""What a run says at its end of what it did beyond what it was told, once each, for pytest-xdist's workers too."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import pytest

NOTES = pytest.StashKey[dict[str, int]]()
"""A sentence -> how often; where it comes several times it has a ``{count}``."""
WORKER_OUTPUT = "gpu_visibility_notes"


def note(config: pytest.Config, sentence: str, count: int = 1) -> None:
    """Say it in the summary. ``{count}`` in the sentence is how often it came."""
    nothing: dict[str, int] = {}
    notes = config.stash.setdefault(NOTES, nothing)
    notes[sentence] = notes.get(sentence, 0) + count


def hand_over(config: pytest.Config) -> None:
    """In a pytest-xdist worker: let the controller know."""
    output: MutableMapping[str, Any] | None = getattr(config, "workeroutput", None)
    if output is not None and NOTES in config.stash:
        notes = config.stash[NOTES]
        output[WORKER_OUTPUT] = dict(notes)


def take_over(config: pytest.Config, output: Mapping[str, Any]) -> None:
    """In the controller: add a worker's."""
    for sentence, count in output.get(WORKER_OUTPUT, {}).items():
        note(config, sentence, count)


def summarise(reporter: pytest.TerminalReporter) -> None:
    """A line each."""
    notes = reporter.config.stash.get(NOTES, None)
    for sentence, count in (notes or {}).items():
        reporter.write_line(f"gpu-visibility: {sentence.replace('{count}', str(count))}", yellow=True)
