"""What has changed from one report to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..suite import LEFT_OUT, UNKNOWN, Verdict
from .document import Document
from .wording import cut, judgement, number

BROKEN = (Verdict.FAIL, Verdict.WARN)
PASSED_OVER = LEFT_OUT | {Verdict.UNSUPPORTED}


@dataclass
class Comparison:
    """Ids of rules, with both verdicts; None where a report does not have the rule.

    ``broken``: fail or warn now, and did not before. ``fixed``: failed or warned before, and pass now. ``unknown``:
    the evidence was not there in the second run, or the harness failed. ``lost``: judged before and not now, for
    whatever other reason. ``gained``: the reverse. ``unchanged``: the rest.
    """

    broken: dict[str, tuple[Verdict | None, Verdict]] = field(default_factory=dict)
    fixed: dict[str, tuple[Verdict | None, Verdict]] = field(default_factory=dict)
    unknown: dict[str, tuple[Verdict | None, Verdict]] = field(default_factory=dict)
    lost: dict[str, tuple[Verdict | None, Verdict | None]] = field(default_factory=dict)
    gained: dict[str, tuple[Verdict | None, Verdict]] = field(default_factory=dict)
    unchanged: dict[str, tuple[Verdict | None, Verdict | None]] = field(default_factory=dict)

    @property
    def worse(self) -> bool:
        """A MUST rule fails that did not, or a rule can no longer be judged because the harness failed."""
        return bool(self.unknown) or any(after is Verdict.FAIL for _, after in self.broken.values())

    def as_dict(self) -> dict[str, object]:
        """For ``--json``: by the name of the change, the rules with both verdicts."""
        names = ("broken", "fixed", "unknown", "lost", "gained", "unchanged")
        changes = {
            name: {
                id: [None if verdict is None else verdict.value for verdict in pair]
                for id, pair in getattr(self, name).items()
            }
            for name in names
        }
        return {"worse": self.worse, **changes}


def compare(before: Document, after: Document) -> Comparison:
    """Rule by rule."""
    found = Comparison()
    old, new = _verdicts(before), _verdicts(after)
    for id in sorted({*old, *new}):
        pair = first, second = old.get(id), new.get(id)
        if second in BROKEN and (first not in BROKEN or (second is Verdict.FAIL and first is Verdict.WARN)):
            found.broken[id] = first, second
        elif second in UNKNOWN and first not in UNKNOWN:
            found.unknown[id] = first, second
        elif second is Verdict.PASS and first in BROKEN:
            found.fixed[id] = first, second
        elif (second is None or second in PASSED_OVER) and not (first is None or first in PASSED_OVER):
            found.lost[id] = pair
        elif second is not None and second not in PASSED_OVER and (first is None or first in PASSED_OVER):
            found.gained[id] = first, second
        else:
            found.unchanged[id] = pair
    return found


def _verdicts(document: Document) -> dict[str, Verdict]:
    return {rule["id"]: Verdict(rule["verdict"]) for rule in document["rules"]}


def lines(before: Document, after: Document, found: Comparison) -> list[str]:
    """For the terminal."""
    headlines = {rule["id"]: rule["headline"] or rule["summary"] for rule in [*before["rules"], *after["rules"]]}
    titles = {
        "broken": "Newly failing",
        "unknown": "No longer known: too little was seen, or the harness failed",
        "fixed": "Fixed",
        "lost": "No longer judged",
        "gained": "Newly judged",
    }
    text = [f"before  {one_line(before)}", f"after   {one_line(after)}", ""]
    text += [f"note: {difference}" for difference in _differences(before, after)]
    for name, title in titles.items():
        changes: Mapping[str, tuple[Verdict | None, Verdict | None]] = getattr(found, name)
        if changes:
            text += [f"{title}: {number(len(changes), 'rule')}"]
            text += [
                cut(f"  {id}  {_word(first)} -> {_word(second):<14}  {headlines[id]}")
                for id, (first, second) in changes.items()
            ]
            text.append("")
    return [*text, f"Unchanged: {number(len(found.unchanged), 'rule')}."]


def _differences(before: Document, after: Document) -> list[str]:
    """What makes the two hard to compare."""
    found = []
    if before["server"]["name"] != after["server"]["name"]:
        found.append("these are two different servers")
    if before["inventories"] != after["inventories"]:
        machines = [", ".join(document["inventories"]) for document in (before, after)]
        found.append(f"the machines differ: {machines[0]}, then {machines[1]}")
    if before["tool"] != after["tool"]:
        found.append(f"judged by {before['tool']['version']}, then by {after['tool']['version']}")
    return found


def _word(verdict: Verdict | None) -> str:
    return "absent" if verdict is None else verdict.value


def one_line(document: Document) -> str:
    """Server, version, day and judgement."""
    server = document["server"]
    verdicts = list(_verdicts(document).values())
    said = judgement(verdicts, document["catalogue"])
    return f"{server['name']} {server['version']}, {document['created'][:10]}: {said}"


def listing(document: Document) -> list[str]:
    """One report alone: what does not pass."""
    text = [one_line(document), ""]
    for rule in document["rules"]:
        if rule["verdict"] != Verdict.PASS.value:
            known = ", known" if rule["known"] and Verdict(rule["verdict"]) in BROKEN else ""
            text.append(cut(f"  {rule['id']}  {rule['verdict'] + known:<14}  {rule['headline']}"))
    return text
