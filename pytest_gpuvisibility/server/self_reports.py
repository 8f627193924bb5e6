"""What a server says of itself, read as the ``[reports]`` of its profile describe."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..profile import REPORT_GROUPS, Report
from ..records import SelfReport
from .process import ServerProcess


def read(server: ServerProcess) -> dict[str, SelfReport]:
    """All reports that the profile describes, by their name, as the server makes them now."""
    described = {name: getattr(server.profile.reports, name) for name in REPORT_GROUPS}
    return {name: _read(report, server) for name, report in described.items() if report is not None}


def read_when_it_answers(server: ServerProcess) -> dict[str, SelfReport]:
    """The same, once every url has answered; a front door may open later than the workers behind it."""
    said: dict[str, SelfReport] = {}

    def all_answer() -> bool:
        nonlocal said
        said = read(server)
        return not any(report.error for report in said.values())

    server.wait_for(all_answer, server.profile.server.ready_deadline)
    return said


def _read(report: Report, server: ServerProcess) -> SelfReport:
    found: list[dict[str, str]] = []
    for text, known, error in _sources(report, server):
        if error:
            return SelfReport(tuple(found), error)
        found += [{**known, **_given(match)} for match in report.pattern.finditer(text)]
    return SelfReport(tuple(_with_group(one, server) for one in found))


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
