"""What rules expect of a fleet. Each helper returns, or raises :class:`Violation` with the facts that prove it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.masks import resolve
from pytest_gpuvisibility.profile import Supports
from pytest_gpuvisibility.records import Evidence, LaunchRecord, ProcessRecord, SelfReport
from pytest_gpuvisibility.suite import DoesNotApply, Level, Unjudged, Violation

from . import refusal_text
from .launch import Gpus, Launch
from .refusal_text import ANY_ERROR, TRACEBACK, is_bare, is_said

MEMBERS = frozenset({"worker", "other"})
"""Roles of the processes of a group: its worker, and what the worker started."""
NO_EVIDENCE = "a worker touched no device and is shown more than its group has: nobody can say which it binds"


def violation(fleet: LaunchRecord, headline: str, *facts: str, level: Level | None = None) -> Violation:
    """A violation whose first fact is the launch."""
    return Violation(headline, [fleet.scenario.describe(), *facts], level)


def outcome(fleet: LaunchRecord) -> str:
    """What became of the launch, in words."""
    if fleet.outcome == "ready":
        return f"ready after {fleet.seconds:.1f} s"
    if fleet.outcome == "exited":
        return f"exit code {fleet.exit_code} after {fleet.seconds:.1f} s"
    waiting = ", as it declares" if fleet.outcome == "waiting" else ""
    return f"neither ready nor ended after {fleet.seconds:.0f} s{waiting}"


def last_words(fleet: LaunchRecord) -> str:
    """The last line that the server wrote, stderr first."""
    return refusal_text.last_words(fleet.stdout, fleet.stderr)


def assert_ready(fleet: LaunchRecord) -> None:
    """Every worker answered a request."""
    if not fleet.ready:
        raise violation(fleet, "does not start although its GPUs are there", outcome(fleet), *_quote(fleet))


def assert_refused(fleet: LaunchRecord) -> None:
    """The launcher ended by itself with a non-zero exit code and left no process, or waits as it declares."""
    if fleet.ready:
        raise violation(fleet, _refusal_headline(fleet), f"{_asked(fleet)}; {outcome(fleet)}{_on(fleet)}")
    if fleet.outcome == "timeout":
        raise violation(fleet, "hangs instead of refusing", f"{_asked(fleet)}; {outcome(fleet)}")
    if fleet.exit_code == 0:
        raise violation(fleet, "ends with exit code 0 although it served nothing", outcome(fleet), *_quote(fleet))
    if fleet.survivors:
        raise violation(fleet, "leaves processes behind when it refuses", *fleet.survivors)


def assert_each(fleets: Iterable[LaunchRecord], *assertions: Callable[[LaunchRecord], None]) -> None:
    """Every assertion of every fleet; one violation that tells of all that fail."""
    found: list[Violation] = []
    for fleet in fleets:
        for assertion in assertions:
            try:
                assertion(fleet)
            except Violation as broken:
                found.append(broken)
                break
    if found:
        facts = [
            f"{launch}: {broken.headline}; {'; '.join(rest)}" for broken in found for launch, *rest in [broken.facts]
        ]
        raise Violation(found[0].headline, facts)


def assert_within(fleet: LaunchRecord, gpus: Gpus, allowed: Iterable[str] | None = None) -> None:
    """No process uses a device outside ``allowed`` (UUIDs; default: what the launch's mask permits)."""
    permitted = set(fleet.permitted if allowed is None else allowed)
    for process in _suspects(fleet):
        used = process.uses(fleet.scenario.devices)
        if used is None:
            used = _all_forbidden(process.shown, permitted)
        if set(used) - permitted:
            raise violation(fleet, "takes GPUs it was not given", _compare(fleet, gpus, permitted))


def assert_uses_exactly(fleet: LaunchRecord, gpus: Gpus, uuids: Sequence[str]) -> None:
    """Ready, inside its mask, and the workers together use these devices and no other."""
    assert_within(fleet, gpus)
    assert_ready(fleet)
    if used_by_workers(fleet) != set(uuids):
        raise violation(fleet, "does not use the GPUs it was given", _compare(fleet, gpus, uuids))


def assert_as_driver(fleet: LaunchRecord, gpus: Gpus, count: int) -> None:
    """Ready on the first ``count`` devices of what CUDA may show under its mask, or refused where that may be fewer."""
    scenario = fleet.scenario
    outcomes = resolve(scenario.visible, gpus.inventory, device_order=scenario.device_order).admissible
    enough = [{device.uuid for device in outcome[:count]} for outcome in outcomes if len(outcome) >= count]
    if fleet.ready:
        used = used_by_workers(fleet)
        if used not in enough:
            raise violation(
                fleet,
                "does not use what CUDA shows" if enough else _refusal_headline(fleet),
                f"CUDA shows {gpus.indices(fleet.permitted)}, workers use {gpus.indices(used)} ({evidence(fleet)})",
            )
    elif len(enough) == len(outcomes):
        assert_ready(fleet)
    else:
        assert_refused(fleet)


def assert_uses_count(fleet: LaunchRecord, gpus: Gpus, count: int) -> None:
    """Ready, and the workers together use ``count`` devices."""
    assert_ready(fleet)
    used = used_by_workers(fleet)
    if len(used) != count:
        facts = _compare(fleet, gpus, fleet.permitted)
        raise violation(fleet, f"uses {_gpus(len(used))} where {count} were asked for", facts)


def _gpus(count: int) -> str:
    return f"{count} GPU{'' if count == 1 else 's'}"


def assert_nothing_used(fleet: LaunchRecord, gpus: Gpus) -> None:
    """No process touches a device, none is bound to one."""
    assert_within(fleet, gpus, allowed=())


def assert_groups_in_order(fleet: LaunchRecord, gpus: Gpus, uuids: Sequence[str]) -> None:
    """Ready, and worker ``i`` uses ``uuids[i]`` alone."""
    assert_ready(fleet)
    found = groups(fleet)
    for index, uuid in enumerate(uuids):
        if found.get(index) != {uuid}:
            raise violation(fleet, "does not keep the order of its list", _by_group(found, gpus, uuids))


def assert_groups_disjoint(fleet: LaunchRecord, gpus: Gpus, size: int) -> None:
    """Ready, every worker uses ``size`` devices, and no two share one."""
    assert_ready(fleet)
    found = groups(fleet)
    used = [uuid for devices in found.values() for uuid in devices]
    if len(used) != len(set(used)):
        raise violation(fleet, "gives one GPU to two groups", _by_group(found, gpus))
    if any(len(devices) != size for devices in found.values()):
        raise violation(fleet, "gives a group the wrong number of GPUs", f"{size} each; {_by_group(found, gpus)}")


def shares_as_declared(fleet: LaunchRecord, gpus: Gpus, supports: Supports) -> bool:
    """Whether it is ready on fewer devices than it was asked to use, all of them permitted, and declares to share."""
    if not (supports.sharing and fleet.ready and fleet.permitted):
        return False
    assert_within(fleet, gpus)
    return True


def assert_no_sharing(fleet: LaunchRecord, gpus: Gpus) -> None:
    """Whatever was started: no two groups use the same device."""
    used = [uuid for devices in groups(fleet).values() for uuid in devices]
    if len(used) != len(set(used)):
        raise violation(fleet, "lets two groups share a GPU", _compare(fleet, gpus, fleet.permitted))


def assert_total_used(fleet: LaunchRecord, gpus: Gpus, count: int) -> None:
    """Ready, and all processes together, workers or not, use ``count`` devices."""
    assert_ready(fleet)
    used_by_workers(fleet)
    used = {uuid for process in _suspects(fleet) for uuid in process.uses(fleet.scenario.devices) or ()}
    if len(used) != count:
        raise violation(
            fleet, f"uses {_gpus(len(used))} where {count} were asked for", _compare(fleet, gpus, fleet.permitted)
        )


def assert_masks_only_narrow(fleet: LaunchRecord, gpus: Gpus) -> None:
    """Every process is shown a subset of what its parent is shown; the launcher, of what is permitted."""
    assert_ready(fleet)
    shown = {process.pid: process.shown for process in fleet.processes if process.shown is not None}
    for process in fleet.processes:
        allowed = shown.get(process.ppid, fleet.permitted)
        if process.shown is not None and set(process.shown) - set(allowed):
            raise violation(
                fleet,
                "gives a process GPUs that its parent does not have",
                f"{process.role} {process.group if process.group is not None else ''}".rstrip()
                + f" is shown {gpus.indices(process.shown)} ({process.evidence.value}),"
                + f" its parent {gpus.indices(allowed)}",
            )


def assert_no_hang(fleet: LaunchRecord) -> None:
    """It became ready or ended before the deadline, or waits as it declares."""
    if fleet.outcome == "timeout":
        raise violation(fleet, "hangs when it is asked for more than it has", outcome(fleet))


def assert_all_gone(fleet: LaunchRecord) -> None:
    """The ending left nothing."""
    if fleet.survivors:
        count = len(fleet.survivors)
        fact = f"{count} left after {fleet.farewell_seconds:.0f} s: " + "; ".join(
            name.split(":")[0] for name in fleet.survivors
        )
        raise violation(fleet, "leaves processes behind", fact)


def assert_admits_a_dead_worker(fleet: LaunchRecord) -> None:
    """After a worker died in set-up: ended non-zero, or replaced the worker, or does not report ready."""
    if fleet.outcome == "exited" and fleet.exit_code == 0:
        raise violation(fleet, "ends with exit code 0 although a worker could not start", *_quote(fleet))
    if fleet.reports_ready:
        fact = f"{fleet.seconds:.0f} s later the launcher runs and its front door is open"
        raise violation(fleet, "reports ready although a worker could not start", fact)


def assert_fails_without_workers(fleet: LaunchRecord) -> None:
    """After all workers died the launcher ended, and not with 0; or there are workers again."""
    if fleet.revived:
        return
    if fleet.final_exit_code is None:
        fact = f"the launcher still runs {fleet.farewell_seconds:.0f} s later"
        raise violation(fleet, "goes on without any worker", fact)
    if fleet.final_exit_code == 0:
        raise violation(fleet, "ends with exit code 0 after all its workers died", "exit code 0")


def assert_says(fleet: LaunchRecord, *words: str) -> None:
    """The refusal on stderr holds each of ``words`` as a word of its own, said to a person."""
    missing = [word for word in words if not is_said(word, fleet.stderr)]
    if missing:
        where = " (it is on stdout, not on stderr)" if all(is_said(word, fleet.stdout) for word in missing) else ""
        raise violation(
            fleet,
            "refuses without saying why",
            f"stderr does not name {' and '.join(missing)}{where}; {outcome(fleet)}",
            *_quote(fleet),
        )


def assert_not_a_bare_error(fleet: LaunchRecord) -> None:
    """What a refusal says is for a person: see :func:`refusal_text.is_bare`."""
    counts = fleet.scenario.asked, len(fleet.permitted)
    if fleet.outcome == "exited" and is_bare(fleet.stdout, fleet.stderr, *counts):
        raise violation(fleet, "refuses with a bare exception", *_quote(fleet))


def self_report(fleet: LaunchRecord, report: str, launch: Launch) -> SelfReport:
    """What the server said in a report of its profile.

    :raises UserError: it could not be asked, or said nothing that the pattern finds: nobody can judge that.
    """
    said = fleet.self_reports[report]
    if said.error or not said.found:
        why = said.error or f"/{getattr(launch.profile.reports, report).pattern.pattern}/ finds nothing"
        raise UserError(f"[reports].{report} of {launch.profile.path}: {why}. Correct it, or leave it out.")
    return said


def assert_no_traceback(fleet: LaunchRecord) -> None:
    """A server that did not start does not end in a traceback, of whatever exception."""
    if fleet.outcome == "exited" and TRACEBACK in fleet.stderr and ANY_ERROR.search(last_words(fleet)):
        raise violation(fleet, "ends in a traceback", *_quote(fleet))


def used_by_workers(fleet: LaunchRecord) -> set[str]:
    """The union of what the groups use.

    :raises Unjudged: nobody can say what some group uses.
    """
    return {uuid for devices in groups(fleet).values() for uuid in devices}


def groups(fleet: LaunchRecord) -> dict[int | None, set[str]]:
    """The devices of each group: what its processes touched while they started, else what its worker is bound to use.
    A server that has ended is bound to nothing.

    :raises Unjudged: nobody can say what some group uses.
    :raises DoesNotApply: the same, of a server that opens no device at all.
    """
    found: dict[int | None, set[str]] = {}
    ended = fleet.outcome == "exited"  # whoever is gone binds nothing more than what it has touched
    for group in dict.fromkeys(worker.group for worker in fleet.workers):
        members = [process for process in fleet.processes if process.group == group and process.role in MEMBERS]
        touched = {uuid for process in members for uuid in process.touched_by(fleet.settled)}
        bound = [worker.uses(fleet.scenario.devices) for worker in members if worker.role == "worker"]
        if not touched and None in bound and not ended:
            raise no_evidence(fleet, members)
        found[group] = touched or {uuid for devices in bound for uuid in devices or () if not ended}
    return found


def no_evidence(fleet: LaunchRecord, members: Iterable[ProcessRecord]) -> Unjudged | DoesNotApply:
    """Why nothing can be said of what a worker binds: a server that opens no device has nothing to be seen by, one that
    does was not seen.
    """
    if not fleet.touch_expected and not any(process.touched for process in fleet.processes):
        return DoesNotApply(f"the server opens no device, and {NO_EVIDENCE}")
    return Unjudged(NO_EVIDENCE, [fleet.scenario.describe(), *_shown(members)])


def _shown(members: Iterable[ProcessRecord]) -> list[str]:
    counts = ((process, "?" if process.shown is None else len(process.shown)) for process in members)
    return [f"process {process.pid}: {process.role} {process.group}, shown {count} GPUs" for process, count in counts]


def evidence(fleet: LaunchRecord) -> str:
    """The weakest evidence that a statement about the workers rests on."""
    kinds = {worker.evidence for worker in fleet.workers}
    return Evidence.TOUCHED.value if kinds <= {Evidence.TOUCHED} else Evidence.PROBED.value


def _suspects(fleet: LaunchRecord) -> list[ProcessRecord]:
    """Workers by what they are bound to use; everybody else by what it did."""
    return [process for process in fleet.processes if process.role == "worker" or process.touched]


def _all_forbidden(shown: Sequence[str] | None, permitted: set[str]) -> tuple[str, ...]:
    """What is shown, where all of it is forbidden: whichever it binds is wrong."""
    return tuple(shown) if shown and not set(shown) & permitted else ()


def _compare(fleet: LaunchRecord, gpus: Gpus, expected: Iterable[str]) -> str:
    used = {
        uuid for process in _suspects(fleet) for uuid in process.uses(fleet.scenario.devices) or process.shown or ()
    }
    verb = "used" if evidence(fleet) == Evidence.TOUCHED.value else "workers would use"
    return f"permitted {gpus.indices(expected)}, {verb} {gpus.indices(used)} ({evidence(fleet)})"


def _by_group(found: dict[int | None, set[str]], gpus: Gpus, expected: Sequence[str] = ()) -> str:
    text = "groups have " + " | ".join(gpus.indices(devices) for devices in found.values())
    return f"{text}; asked for {' | '.join(gpus.indices([uuid]) for uuid in expected)}" if expected else text


def _asked(fleet: LaunchRecord) -> str:
    return f"asked {fleet.scenario.asked}, permitted {len(fleet.permitted)}"


def _refusal_headline(fleet: LaunchRecord) -> str:
    if fleet.scenario.layout is not None or fleet.scenario.asked <= 0:
        return "starts with a layout that makes no sense"
    return "starts although it asks for more than it has"


def _on(fleet: LaunchRecord) -> str:
    return f" with {len(fleet.workers)} workers ({evidence(fleet)})"


def _quote(fleet: LaunchRecord) -> list[str]:
    words = last_words(fleet)
    return [f"last words: {words[:160]}"] if words else ["it wrote nothing"]
