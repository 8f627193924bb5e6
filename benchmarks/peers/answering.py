"""What the scripts beside this one have in common: masks come in on stdin, answers go to a file, both as JSON.

They run in an environment of their peer's own, where the package under comparison is not installed.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Callable
from typing import Any

Answer = dict[str, Any]
"""``uuids``: the devices; or ``masks``: one for each device; or ``silent``: why it says nothing; or ``error``."""

LONGEST = 160


def answer_all(distribution: str, ask: Callable[[], Answer]) -> None:
    """Ask once for every ``{"mask": ..., "order": ...}``, with both in the environment."""
    answers = []
    for case in json.load(sys.stdin):
        _set("CUDA_VISIBLE_DEVICES", case["mask"])
        _set("CUDA_DEVICE_ORDER", case["order"])
        answers.append(_answer(ask))
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump({"version": importlib.metadata.version(distribution), "answers": answers}, file)


def _answer(ask: Callable[[], Answer]) -> Answer:
    try:
        return ask()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:LONGEST]}


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
