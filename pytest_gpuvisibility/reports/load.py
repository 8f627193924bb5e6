"""Read a JSON report that an earlier run has written."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import UserError
from ..plain import NotPlain, from_plain
from ..suite import Verdict
from .document import SCHEMA, Document


def load(path: Path) -> Document:
    """The document.

    :raises UserError: there is none, it is no report, one of another version, or a damaged one.
    """
    try:
        found: object = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}. Give a report that --gpu-report=NAME.json has written.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not JSON: {error}. Give a report that --gpu-report=NAME.json has written."
        ) from None
    if not isinstance(found, dict) or "schema" not in found:
        raise UserError(f"{path} is JSON, but no report. Give one that --gpu-report=NAME.json has written.")
    if found["schema"] != SCHEMA:
        raise UserError(
            f"{path} is a report of version {found['schema']}; this release reads version {SCHEMA}. Repeat the run"
            " with this release, or read it with the one that wrote it."
        )
    try:
        document = from_plain(Document, found)
    except NotPlain as problem:
        raise UserError(f"{path} is not a whole report: {problem}. Repeat the run.") from None
    _check_verdicts(document, path)
    return document


def _check_verdicts(document: Document, path: Path) -> None:
    verdicts = [verdict.value for verdict in Verdict]
    for rule in document["rules"]:
        if rule["verdict"] not in verdicts:
            raise UserError(
                f"{path}: rule {rule['id']} has the verdict {rule['verdict']!r}; it must be one of"
                f" {', '.join(verdicts)}."
            )
