"""Read a JSON report that an earlier run has written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..suite.verdicts import Verdict

KNOWN = 1
"""The version of the format that this release writes and reads."""
PARTS = ("created", "tool", "server", "inventory", "inventories", "simulated", "machines", "rules")


def load(path: Path) -> dict[str, Any]:
    """The document.

    :raises UserError: there is none, it is no report, or one of another version.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}. Give a report that --gpu-report=NAME.json has written.") from None
    except ValueError as error:
        raise UserError(
            f"{path} is not JSON: {error}. Give a report that --gpu-report=NAME.json has written."
        ) from None
    if not isinstance(document, dict) or "schema" not in document:
        raise UserError(f"{path} is JSON, but no report. Give one that --gpu-report=NAME.json has written.")
    if document["schema"] != KNOWN:
        raise UserError(
            f"{path} is a report of version {document['schema']}; this release reads version {KNOWN}. Repeat the run"
            " with this release, or read it with the one that wrote it."
        )
    _check(document, path)
    return document


def _check(document: dict[str, Any], path: Path) -> None:
    missing = [name for name in PARTS if name not in document]
    if missing:
        raise UserError(f"{path} is not a whole report: it lacks {', '.join(missing)}. Repeat the run.")
    verdicts = [verdict.value for verdict in Verdict]
    for rule in document["rules"]:
        if rule.get("verdict") not in verdicts:
            raise UserError(
                f"{path}: rule {rule.get('id')} has the verdict {rule.get('verdict')!r}; it must be one of"
                f" {', '.join(verdicts)}."
            )
