"""The inventories that ship."""

from __future__ import annotations

from pathlib import Path

from ..resources import shipped_directory


def names() -> tuple[str, ...]:
    """In alphabetical order."""
    return tuple(sorted(path.stem for path in _directory().glob("*.toml")))


def file_of(name: str) -> Path | None:
    """The file of a shipped inventory, in any case; None where no such one ships."""
    known = name.lower()
    return _directory() / f"{known}.toml" if known in names() else None


def _directory() -> Path:
    return shipped_directory("fixtures") / "inventories"
