"""Profiles as files: those that ship, and a user's own."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import toml
from ..errors import UserError
from ..resources import shipped_directory
from .model import Profile
from .reader import Reader

DRIVER = "driver"
"""The name of a server that is none: --gpu-server=driver puts the CUDA driver itself on trial."""


def names() -> tuple[str, ...]:
    """The shipped profiles."""
    return tuple(sorted(path.stem for path in (shipped_directory("conformance") / "servers").glob("*.toml")))


def load(name_or_path: str | Path) -> Profile:
    """Read a shipped profile by its name, or a file.

    :raises UserError: there is none, or it is malformed; the message names file, key and fix.
    """
    path = _find(name_or_path)
    try:
        data = toml.loads(path.read_text(encoding="utf-8"))
    except (toml.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The profile {path} is not valid TOML: {error}.") from None
    except OSError as error:
        raise UserError(f"The profile {path} cannot be read: {error.strerror}.") from None
    return Reader(path.resolve()).profile(data)


def parse(data: Mapping[str, Any], path: str | Path) -> Profile:
    """A profile from what its TOML file would hold. ``path``: what ``{here}`` and messages refer to.

    :raises UserError: it is malformed; the message names the key and the fix.
    """
    return Reader(Path(path).resolve()).profile(dict(data))


def _find(name_or_path: str | Path) -> Path:
    text = os.fspath(name_or_path)
    if text in names():
        return shipped_directory("conformance") / "servers" / f"{text}.toml"
    path = Path(text).expanduser()
    if path.is_file():
        return path
    nearest = difflib.get_close_matches(text, names(), n=1)
    raise UserError(
        f"There is no server profile {text!r}: it is neither one that ships ({', '.join(names())}) nor a"
        " file."
        + (f" Did you mean {nearest[0]!r}?" if nearest else " Name one of these, or the path of a profile's TOML file.")
    )
