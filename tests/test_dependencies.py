"""tests/lowest.txt, which ``tox run -e py310-lowest`` installs, has the lower bounds of pyproject.toml."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BOUNDS = dict(
    re.match(r"([\w-]+)>=([\d.]+)", requirement).groups()  # type: ignore[union-attr]
    for requirement in (*PYPROJECT["dependency-groups"]["test"], *PYPROJECT["project"]["dependencies"])
)
PINS = dict(re.findall(r"^([\w-]+)==(.+)$", (ROOT / "tests" / "lowest.txt").read_text(), re.M))


def test_what_users_install_is_pinned() -> None:
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in PYPROJECT["project"]["dependencies"]}  # type: ignore[index]
    assert names <= PINS.keys()


@pytest.mark.parametrize("name", PINS)
def test_the_pin_is_the_bound(name: str) -> None:
    bound = BOUNDS[name]
    assert re.fullmatch(rf"{re.escape(bound)}(\.0)*", PINS[name]), f"{name}>={bound} in pyproject.toml"
