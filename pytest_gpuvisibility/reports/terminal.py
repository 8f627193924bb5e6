"""The end of a conformance run, for a person who has never seen one."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ..records import Evidence, LaunchRecord
from ..simulator import KernelLaunches
from ..suite import UNKNOWN, Level, RuleResult, Subject, Trial, Verdict
from .wording import WIDTH, cut, family_of, judgement, number, place_of_family

WORST = 3
ORDER = (
    *(Verdict.ERROR, Verdict.FAIL, Verdict.UNJUDGED, Verdict.WARN, Verdict.UNSUPPORTED, Verdict.DOES_NOT_APPLY),
    *(Verdict.NOT_DECLARED, Verdict.PASS),
)
"""What a reader should see first."""
LISTED = frozenset(ORDER) - {Verdict.NOT_DECLARED, Verdict.PASS}
"""Verdicts whose rules have a line each."""


def summary(trial: Trial, seconds: float, exit_code: int) -> list[str]:
    """The lines to print: what was judged, the count, the worst three in words, and every rule that does not pass."""
    results = sorted(trial.results.values(), key=_severity)
    judged = judgement([result.verdict for result in results], len(trial.catalogue))
    lines = [_title(trial, seconds), "", judged, ""]
    worst = _worst(results)
    for result in worst:
        lines += _in_words(result)
    lines += _rest(trial, [result for result in results if result not in worst])
    lines += _recorded(results)
    lines += _not_declared(results)
    lines += _passes(results, trial.subject.launches())
    lines += _skipped(trial.subject.launches().values())
    return [*lines, *[""] * (lines[-1] != ""), _ending(trial, results, exit_code)]


def _title(trial: Trial, seconds: float) -> str:
    subject, launches = trial.subject, trial.subject.launches()
    machines = ", ".join(dict.fromkeys(launch.inventory for launch in launches.values())) or subject.inventory
    where = f"simulated {machines}" if subject.simulated else "this machine"
    counted = [result for result in trial.results.values() if result.verdict is not Verdict.NOT_DECLARED]
    return f"{trial.name} on {where}: {number(len(counted), 'rule')}, {_effort(subject, launches, seconds)}"


def _effort(subject: Subject, launches: Mapping[str, LaunchRecord], seconds: float) -> str:
    masks = len(subject.answers())
    if masks:
        return f"{number(masks, 'mask')}, {seconds:.0f} s"
    starting = _union([(launch.began, launch.began + launch.seconds) for launch in launches.values()])
    return f"{number(len(launches), 'scenario')}, {seconds:.0f} s ({starting:.0f} s of it the server's own start-up)"


def _union(spans: Sequence[tuple[float, float]]) -> float:
    """Seconds covered by at least one span: launches that ran side by side count once."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def _severity(result: RuleResult) -> tuple[int, int, str]:
    return ORDER.index(result.verdict), place_of_family(result.rule.id), result.rule.id


def _worst(results: Iterable[RuleResult]) -> list[RuleResult]:
    """The first violation of each of the first families: three kinds of trouble rather than one thrice."""
    chosen: dict[str, RuleResult] = {}
    for result in results:
        if result.violated and result.rule.level is Level.MUST:
            chosen.setdefault(family_of(result.rule.id), result)
    return list(chosen.values())[:WORST]


def _in_words(result: RuleResult) -> list[str]:
    launch, *facts = result.facts or ("",)
    first = f"  {result.rule.id}  {result.headline}"
    return [cut(f"{first:<48}  {launch}".rstrip()), *(cut(f"           {fact}") for fact in facts[:1])]


def _rest(trial: Trial, results: Sequence[RuleResult]) -> list[str]:
    shown = [result for result in results if result.verdict in LISTED]
    if not shown:
        return []
    alone = f"gpu-visibility check {trial.subject.source} --gpu-rule={shown[0].rule.id}"
    lines = [f"  {len(shown)} more; one rule alone: {alone}", ""]
    for result in shown:
        known = ", known" if result.known and result.violated else ""
        lines.append(cut(f"  {result.rule.id}  {result.verdict.value + known:<14}  {result.headline}"))
    return lines


def _recorded(results: Iterable[RuleResult]) -> list[str]:
    """What was done where the evidence leaves a choice: nothing to blame, and worth knowing."""
    lines = [
        f"  {result.rule.id}  {fact}" for result in results if result.verdict is Verdict.PASS for fact in result.facts
    ]
    return ["", "What it does where the evidence leaves a choice:", "", *map(cut, lines)] if lines else []


def _not_declared(results: Iterable[RuleResult]) -> list[str]:
    """One line for all that the profile leaves out, with the keys that would change it."""
    left_out = [result for result in results if result.verdict is Verdict.NOT_DECLARED]
    keys = dict.fromkeys(key for result in left_out for key in result.facts)
    need = "needs" if len(left_out) == 1 else "need"
    line = f"  Not asked: {number(len(left_out), 'rule')} {need} what the profile leaves out: {', '.join(keys)}."
    return ["", *textwrap.wrap(line, WIDTH, subsequent_indent="  ")] if left_out else []


def _passes(results: Iterable[RuleResult], launches: Mapping[str, LaunchRecord]) -> list[str]:
    """What the passes rest on, each counted by its weakest evidence."""
    found: Counter[str] = Counter()
    for result in results:
        if result.verdict is Verdict.PASS:
            seen = {worker.evidence for key in result.scenarios if key in launches for worker in launches[key].workers}
            found.update([next((kind.value for kind in reversed(Evidence) if kind in seen), "no worker")])
    names = [*(kind.value for kind in Evidence), "no worker"]
    counts = [f"{found[name]} {name}" for name in names if found[name]]
    return ["", f"  Passes rest on: {', '.join(counts)}."] if counts and launches else []


def _skipped(launches: Iterable[LaunchRecord]) -> list[str]:
    """That kernels did not run is said, so that nobody takes a server's answers for real."""
    sentences = KernelLaunches(skipped=sum(launch.skipped_kernel_launches for launch in launches)).sentences("")
    return ["", *(f"  {sentence}." for sentence in sentences)] if sentences else []


def _ending(trial: Trial, results: Sequence[RuleResult], exit_code: int) -> str:
    violated = [result for result in results if result.violated]
    new = [result.rule.id for result in violated if not result.known and result.verdict is Verdict.FAIL]
    fixed = [result.rule.id for result in results if result.known and result.verdict is Verdict.PASS]
    known = sum(result.known for result in violated)
    if trial.wrongly_declared:
        return (
            f"Declared unsupported, and they hold: {', '.join(trial.wrongly_declared)}. Remove their entries from"
            f" {trial.subject.source}: exit code {exit_code}."
        )
    if fixed:
        return (
            f"No longer violated, although {trial.expected_from} lists them: {', '.join(fixed)}. Remove their lines:"
            f" exit code {exit_code}."
        )
    unknown = [result.rule.id for result in results if result.verdict in UNKNOWN]
    if unknown and not new:
        return f"{number(len(unknown), 'rule')} could not be judged: exit code {exit_code}."
    if new:
        return f"{number(len(new), 'violation')} not in {trial.expected_from}: exit code {exit_code}."
    if known:
        state = "none has been fixed, none is new"
        return f"All {known} violations are known for {trial.name}, {state}: exit code {exit_code}."
    return f"Exit code {exit_code}."
