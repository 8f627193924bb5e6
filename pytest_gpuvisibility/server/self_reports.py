"""What a server says of itself, read as the ``[reports]`` of its profile describe."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..profile.files import REPORT_GROUPS, Report
from .process import ServerProcess

UNITS = {"bytes": 1, "mib": 1 << 20, "gib": 1 << 30}


@dataclass(frozen=True, slots=True)
class Statement:
    """What one report said: what its pattern found, by named group; ``error`` where it could not be asked."""

    found: tuple[dict[str, str], ...] = ()
    error: str = ""

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Statement:
        return cls(tuple(data["found"]), data["error"])

    def sizes(self, what: str) -> list[tuple[dict[str, str], int]]:
        """Every ``total`` or ``planned`` amount of memory found, in bytes, with what it was found in.

        What is no number, or none that memory could have (metrics may be NaN), is left out.
        """
        amounts = (
            (found, found[f"{what}_{unit}"], factor)
            for found in self.found
            for unit, factor in UNITS.items()
            if f"{what}_{unit}" in found
        )
        return [(found, round(float(text) * factor)) for found, text, factor in amounts if _is_number(text)]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def read(server: ServerProcess) -> dict[str, Statement]:
    """All reports that the profile describes, by their name, as the server makes them now."""
    described = {name: getattr(server.profile.reports, name) for name in REPORT_GROUPS}
    return {name: _read(report, server) for name, report in described.items() if report is not None}


def read_when_it_answers(server: ServerProcess) -> dict[str, Statement]:
    """The same, once every url has answered; a front door may open later than the workers behind it."""
    said: dict[str, Statement] = {}

    def all_answer() -> bool:
        nonlocal said
        said = read(server)
        return not any(statement.error for statement in said.values())

    server.wait_for(all_answer, server.profile.server.ready_deadline)
    return said


def _read(report: Report, server: ServerProcess) -> Statement:
    found: list[dict[str, str]] = []
    for text, known, error in _sources(report, server):
        if error:
            return Statement(tuple(found), error)
        found += [{**known, **_given(match)} for match in report.pattern.finditer(text)]
    return Statement(tuple(_with_group(one, server) for one in found))


def _with_group(found: dict[str, str], server: ServerProcess) -> dict[str, str]:
    """What was found with the number of the worker's group, where its port or its pid tell that."""
    group = _whole(found.get("group", ""))
    if "group" in found:
        return found if group is None else {**found, "group": str(group)}
    port, pid = (_whole(found.get(name, "")) for name in ("port", "pid"))
    if port is not None:
        group = port - server.profile.worker_port(0, server.port)
    elif pid is not None and pid in server.seen:
        group = server.seen[pid].group
    return found if group is None else {**found, "group": str(group)}


def _sources(report: Report, server: ServerProcess) -> Iterator[tuple[str, dict[str, str], str]]:
    """Texts to look through, what is known of each beforehand, and why there is none."""
    if not report.url:
        yield server.stdout + "\n" + server.stderr, {}, ""
        return
    by_group = "{worker_port}" in report.url or "{group}" in report.url
    for group in range(server.groups) if by_group else (None,):
        reply = server.get(report.url, group)
        yield reply.text, {} if group is None else {"group": str(group)}, reply.error


def _whole(text: str) -> int | None:
    """A port or a pid; None for what can be neither. A server may write anything, digits without end too."""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


def _given(match: re.Match[str]) -> dict[str, str]:
    return {name: value for name, value in match.groupdict().items() if value is not None}
