"""Words that all reports share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..suite import JUDGED, LEFT_OUT, Conclusion, Verdict, conclude

FAMILIES = {
    "VIS": "Visibility: the devices of the mask and no other",
    "OVR": "Oversubscription: asked for more than there is",
    "LIF": "Life cycle: what ends, ends whole",
    "IDN": "Identity: how devices are named and ordered",
    "ASN": "Assignment: which worker gets which devices",
    "CTR": "Containers and MIG",
    "TEL": "Telemetry and sizing",
    "DRV": "The CUDA driver: what a mask shows",
}
"""Worst first: taking what belongs to others, then not saying so, then not letting go."""
WIDTH = 120
"""Characters in a line of a terminal or a CI log."""


def family_of(rule: str) -> str:
    """``VIS`` of ``VIS-001``."""
    return rule.partition("-")[0]


def place_of_family(rule: str) -> int:
    """Where the family of ``rule`` comes in the order of FAMILIES; unknown ones come last."""
    families = list(FAMILIES)
    family = family_of(rule)
    return families.index(family) if family in families else len(families)


def judgement(verdicts: Sequence[Verdict], catalogue: int) -> str:
    """``Does not conform: 2 MUST rules fail, 27 pass.``, or ``3 of 69 rules judged: all pass.``

    ``catalogue``: how many rules the suite has for such a subject. A run of fewer says how many of them it judged.
    """
    said, share = conclude(verdicts, catalogue), f"{share_judged(verdicts, catalogue)} judged"
    whole = len(verdicts) >= catalogue
    if LEFT_OUT.issuperset(verdicts):
        return f"{share}: none {'' if whole else f'of the {len(verdicts)} asked '}applies."
    parts = ", ".join(_parts(verdicts, said))
    if said is Conclusion.PARTLY_JUDGED:
        return f"{share}: {parts}."
    return f"{said.value.replace('-', ' ').capitalize()}: {parts}{'' if whole else f'; {share}'}."


def share_judged(verdicts: Sequence[Verdict], catalogue: int) -> str:
    """``3 of 69 rules``: of how many something was said."""
    return f"{sum(verdict in JUDGED for verdict in verdicts)} of {number(catalogue, 'rule')}"


def _parts(verdicts: Sequence[Verdict], said: Conclusion) -> list[str]:
    """``2 MUST rules fail``, ``27 pass`` …: what is none is left out."""
    count = Counter(verdicts)
    passed, fails, warns = count[Verdict.PASS], count[Verdict.FAIL], count[Verdict.WARN]
    if passed == sum(verdict not in LEFT_OUT for verdict in verdicts):
        parts = [f"all {number(passed, 'rule')} pass" if said is Conclusion.CONFORMS else "all pass"]
    else:
        parts = [f"{number(fails, 'MUST rule')} {'fails' if fails == 1 else 'fail'}"] * bool(fails)
        parts += [f"{number(warns, 'SHOULD rule')} {'warns' if warns == 1 else 'warn'}"] * bool(warns)
        parts += [f"{passed} {'passes' if passed == 1 else 'pass'}"] * bool(passed)
    left_out = count[Verdict.DOES_NOT_APPLY]
    parts += [f"{left_out} {'does' if left_out == 1 else 'do'} not apply"] * bool(left_out)
    others = (Verdict.UNSUPPORTED, Verdict.UNJUDGED)
    parts += [f"{count[verdict]} {verdict.value}" for verdict in others if count[verdict]]
    return [*parts, *[number(count[Verdict.ERROR], "error")] * bool(count[Verdict.ERROR])]


def number(count: int, noun: str) -> str:
    """``1 rule``, ``2 rules``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def cut(line: str) -> str:
    """The line, with an ellipsis where it is longer than WIDTH."""
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
