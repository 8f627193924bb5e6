"""What must have been seen of a launch before a rule may speak of it: in one place, for all rules.

A launch that did not become ready speaks for itself: it ended, or it did not. One that did may have been seen in part
only, and what is then missing is no fault of the server's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..environment import printable
from ..inventory import Inventory, number
from ..profile import Profile
from ..records import LaunchRecord, ProcessRecord
from .verdicts import Need, Unjudged

LONGEST = 100
"""Characters of a process's arguments, without the directories of paths."""
SHOWN = 12
"""Processes that are named; a server may have hundreds."""


def check_evidence(fleet: LaunchRecord, profile: Profile, machine: Inventory, needs: Sequence[Need]) -> None:
    """:raises Unjudged: something of ``needs`` was not seen; with the processes that were."""
    missing = missing_evidence(fleet, profile, needs)
    if missing:
        raise Unjudged(missing, [fleet.scenario.describe(), *process_lines(fleet, machine)])


def missing_evidence(fleet: LaunchRecord, profile: Profile, needs: Sequence[Need] = tuple(Need)) -> str:
    """What of ``needs`` was not seen, in words; empty where all of it was."""
    if Need.ANSWERS in needs and fleet.outcome == "unanswered":
        return f"it gave its sign of readiness and did not answer: {_unanswered(fleet)}"
    return _missing_workers(fleet, profile) if Need.WORKERS in needs and fleet.ready else ""


def _unanswered(fleet: LaunchRecord) -> str:
    answers = (f"group {group}: {answer}" for group, answer in fleet.requests.items() if answer != "answered")
    return "; ".join(answers)


def _missing_workers(fleet: LaunchRecord, profile: Profile) -> str:
    """What is missing, in words that say what in the profile tells workers; empty where nothing is."""
    told = f"[workers].worker tells them by {profile.workers.worker.keys}"
    if fleet.unplaced:
        first = profile.workers.first_group
        last = first + fleet.scenario.groups - 1
        return (
            f"the profile numbers a worker that is in no group: {'; '.join(fleet.unplaced)}; groups are {first} to"
            f" {last} ([workers].first_group = {first})"
        )
    if not fleet.permitted and profile.workers.worker.touched:
        return ""  # where there is nothing to touch, nobody can be told by that
    asked = fleet.scenario.groups
    known = {worker.group for worker in fleet.workers if worker.group is not None}
    if len(known & set(range(asked))) < asked:
        return f"saw {len(known)} of {_workers(asked)}; {told}"
    touched = known & {process.group for process in fleet.processes if process.touched}
    # Asked for more than there is, a server may start workers for which nothing is left.
    supplied = min(asked, len(fleet.permitted) // max(1, fleet.scenario.devices))
    if len(touched) < supplied and (touched or fleet.touch_expected):
        before = ", as they all did before" if fleet.touch_expected else ""
        return f"saw {len(touched)} of {_workers(asked)} touch a device{before}"
    return ""


def unlike_its_command(fleet: LaunchRecord, profile: Profile) -> str:
    """Where a profile asks for no number, and what was seen is not one process on every device; else empty."""
    if profile.division != "visible" or not fleet.ready:
        return ""
    used = {uuid for worker in fleet.workers for uuid in worker.uses(fleet.scenario.devices) or ()}
    if len(fleet.workers) == 1 and used == set(fleet.permitted):
        return ""
    return (
        "[server].command and env hold neither {groups} nor {devices}, so one process should use every GPU that it is"
        f" shown; saw {_workers(len(fleet.workers))} on {len(used)} of {len(fleet.permitted)}. Write {{groups}} where"
        " the server is told how many workers to start"
    )


def _workers(count: int) -> str:
    return f"{count} worker{'' if count == 1 else 's'}"


def process_lines(fleet: LaunchRecord, machine: Inventory) -> list[str]:
    """A line for each process: who it is, what told that, what it touched, and its arguments; workers first."""
    rank = {"worker": 0, "launcher": 1, "balancer": 2, "other": 3}
    found = sorted(fleet.processes, key=lambda process: (rank[process.role], process.group or 0, process.pid))
    lines = [_process_line(process, machine) for process in found[:SHOWN]]
    more = len(found) - SHOWN
    return [*lines, *[f"and {more} more processes"] * (more > 0)]


def _process_line(process: ProcessRecord, machine: Inventory) -> str:
    role = process.role if process.group is None else f"{process.role} {process.group}"
    told = f" (by {process.told_by})" if process.told_by else ""
    touched = " ".join(number(unit) for unit in machine.units if unit.uuid in process.touched) or "nothing"
    words = " ".join(os.path.basename(word) if word.startswith("/") else word for word in process.argv)
    words = printable(words, LONGEST) or "gone before it was seen"
    return f"process {process.pid}: {role}{told}, touched {touched}: {words}"
