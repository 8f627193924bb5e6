"""Report files: the format by the ending of the name, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import UserError

FORMATS = (".json", ".html", ".svg")
"""The whole report as data, the same for people, and a badge."""


def check_paths(paths: Iterable[str], option: str = "--gpu-report") -> None:
    """Better said before the run than after.

    :raises UserError: a report cannot be written there, or not in that format.
    """
    for path in map(Path, paths):
        check_path(path, option)


def check_path(path: Path, option: str, formats: Iterable[str] = FORMATS) -> None:
    """:raises UserError: ``path`` has no known ending, or cannot be written."""
    allowed = " or ".join(formats)
    if path.suffix not in formats:
        raise UserError(
            f"{option}={path}: the ending says the format, and {path.suffix or 'none'} is not known. Give a name that"
            f" ends in {allowed}."
        )
    parent = path.absolute().parent
    if not parent.is_dir():
        raise UserError(f"{option}={path}: there is no directory {parent}. Create it, or write elsewhere.")
    if path.is_dir():
        raise UserError(f"{option}={path} is a directory. Name a file in it.")
    if not os.access(parent, os.W_OK):
        raise UserError(f"{option}={path}: no permission to write in {parent}. Write elsewhere.")
