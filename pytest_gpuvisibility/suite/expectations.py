"""Known violations of one version of one server: a TOML file that the suite holds the server to, strictly."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import toml
from ..errors import UserError
from ..resources import shipped_directory

KEYS = {"rule", "seen", "issue_url", "inventories"}


@dataclass(frozen=True, slots=True)
class Expectation:
    """One known violation: the rule, what was seen, and where it is reported (a URL, or empty).

    ``inventories``: the machines on which it is seen, as names or globs; empty: on every one. A server that counts
    wrongly may be right by luck where the GPUs are numbered in another way.
    """

    rule: str
    seen: str
    issue_url: str = ""
    inventories: tuple[str, ...] = ()

    def holds_on(self, inventory: str) -> bool:
        return not self.inventories or any(fnmatch.fnmatchcase(inventory, glob) for glob in self.inventories)


def shipped(name: str, version: str) -> Path | None:
    """The file that ships for this version of a server, if one does."""
    path = shipped_directory("conformance") / "expectations" / f"{name}-{version}.toml"
    return path if path.is_file() else None


def load(path: Path, rules: Iterable[str], inventory: str) -> Mapping[str, Expectation]:
    """The known violations in ``path`` that hold on the machine ``inventory``, by rule id.

    :raises UserError: the file cannot be read, has a key or a rule (not in ``rules``) that does not exist, or names a
        rule twice for one machine.
    """
    known = set(rules)
    expected: dict[str, Expectation] = {}
    for entry in _entries(path):
        expectation = _expectation(path, entry)
        if expectation.rule not in known:
            raise UserError(
                f"{path}: there is no rule {expectation.rule!r}. `gpu-visibility rules` lists them; remove or"
                " correct the entry."
            )
        if not expectation.holds_on(inventory):
            continue
        if expectation.rule in expected:
            raise UserError(
                f"{path}: rule {expectation.rule} is listed twice for {inventory}. Keep one entry for each rule and"
                " machine."
            )
        expected[expectation.rule] = expectation
    return expected


def _entries(path: Path) -> list[Any]:
    try:
        with path.open("rb") as file:
            data = toml.load(file)
    except OSError as error:
        raise UserError(
            f"Cannot read the expectations file {path}: {error.strerror}. Give --gpu-expect a TOML file, or `none`."
        ) from error
    except (toml.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}.") from error
    unknown = set(data) - {"server", "version", "violation"}
    if unknown or not isinstance(data.get("violation", []), list):
        raise UserError(
            f"{path}: unknown key {', '.join(sorted(unknown)) or 'violation'}. An expectations file has `server`,"
            " `version` and any number of [[violation]] tables."
        )
    entries: list[Any] = data.get("violation", [])
    return entries


def _expectation(path: Path, entry: Any) -> Expectation:
    words = {key: value for key, value in entry.items() if key != "inventories"} if isinstance(entry, dict) else {}
    inventories = entry.get("inventories", []) if isinstance(entry, dict) else None
    if (
        not {"rule", "seen"} <= set(words) <= KEYS
        or not isinstance(inventories, list)
        or not all(isinstance(value, str) for value in [*words.values(), *inventories])
    ):
        raise UserError(
            f"{path}: [[violation]] has {entry!r}. It needs `rule` and `seen` (what was seen), and may have"
            " `issue_url`, all text, and `inventories`, a list of names or globs."
        )
    return Expectation(**words, inventories=tuple(inventories))
