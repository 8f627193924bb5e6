"""Words that all reports share."""

from __future__ import annotations

from collections.abc import Sequence

from ..suite import Verdict

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


def judgement(verdicts: Sequence[Verdict]) -> str:
    """``Does not conform: 2 MUST rules fail, 27 pass.``"""
    if set(verdicts) == {Verdict.PASS}:
        return f"Conforms: all {number(len(verdicts), 'rule')} pass."

    def of(verdict: Verdict) -> int:
        return verdicts.count(verdict)

    parts = [f"{number(of(Verdict.FAIL), 'MUST rule')} {'fails' if of(Verdict.FAIL) == 1 else 'fail'}"]
    parts += [f"{number(of(Verdict.WARN), 'SHOULD rule')} warn{'s' if of(Verdict.WARN) == 1 else ''}"] * bool(
        of(Verdict.WARN)
    )
    parts.append(f"{of(Verdict.PASS)} pass")
    parts += [
        f"{of(verdict)} {verdict.value}"
        for verdict in (Verdict.NOT_APPLICABLE, Verdict.UNSUPPORTED, Verdict.ERROR)
        if of(verdict)
    ]
    return f"{conclusion(verdicts)}: {', '.join(parts)}."


def conclusion(verdicts: Sequence[Verdict]) -> str:
    """``Conforms``, ``Does not conform`` or ``Not judged``."""
    if Verdict.ERROR in verdicts:
        return "Not judged"
    return "Does not conform" if Verdict.FAIL in verdicts else "Conforms"


def number(count: int, noun: str) -> str:
    """``1 rule``, ``2 rules``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def cut(line: str) -> str:
    """The line, with an ellipsis where it is longer than WIDTH."""
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
