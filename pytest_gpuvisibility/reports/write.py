"""From a trial or its JSON document to the file that its name asks for."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from ..host import write_whole
from ..suite import Trial
from . import json_report
from .badge import badge
from .document import Document
from .html_report import page


def write_trial(path: Path, trial: Trial) -> None:
    """Write the report of a trial, whole or not at all; the format is the name's ending.

    :raises UserError: it could not be written.
    """
    write(path, json_report.document(trial))


def write(path: Path, document: Document) -> None:
    """The same of a document that was read.

    :raises UserError: the document does not follow the schema, or the file could not be written.
    """
    form = {".json": json_report.as_text, ".html": page, ".svg": badge}[path.suffix]
    try:
        text = form(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} could not be made, the report lacks something or has it wrong: {error!r}.") from error
    try:
        write_whole(path, text)
    except OSError as error:
        raise UserError(f"The report {path} could not be written: {error.strerror or error}.") from None
