"""Where tests find what lies beside the package."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parent
PROGRAMS = TESTS / "programs"
ROOT = TESTS.parent
DOCS = ROOT / "docs"


def program(name: str) -> str:
    """The path of a program that tests run: tests/programs/NAME."""
    path = PROGRAMS / name
    assert path.is_file(), path
    return str(path)
