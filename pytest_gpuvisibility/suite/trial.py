"""What is on trial, and what was said of it so far: one subject, one version, one set of options.

pytest's part, which runs the rules in as many processes as the user likes, is in ``plugin.suite_hooks``.
"""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..errors import UserError
from .expectations import Expectation, load, shipped
from .harness_errors import HARNESS_ERRORS, in_words
from .subject import Subject
from .verdicts import DoesNotApply, Level, NotDeclared, Rule, RuleResult, Unjudged, Verdict, Violation

NO_EXPECTATIONS = "none"
"""What --gpu-expect says for no list of known violations."""


class Keyed(Protocol):
    """A launch, or a question to the driver."""

    @property
    def key(self) -> str: ...


@dataclass(frozen=True)
class Basis:
    """What a rule rests on: the lists grow while it runs. ``facts`` are what is worth telling of one that passes."""

    rests_on: Sequence[Keyed] = ()
    facts: Sequence[str] = ()


@dataclass
class Trial:
    """``expected`` are the known violations by rule, from the file ``expected_from``; ``results`` come as rules end.

    ``strict``: a SHOULD that is broken fails. ``certify``: no rule may be left out. ``catalogue``: every rule there is
    for such a subject, whether or not it is asked.
    """

    subject: Subject
    expected: Mapping[str, Expectation]
    expected_from: str
    strict: bool = False
    certify: bool = False
    catalogue: Sequence[Rule] = ()
    results: dict[str, RuleResult] = field(default_factory=dict)

    @classmethod
    def open(
        cls, subject: Subject, rules: Sequence[Rule], *, expect: str = "", strict: bool = False, certify: bool = False
    ) -> Trial:
        """A trial of ``subject`` by ``rules``.

        :param expect: a file of known violations, ``none``, or empty: the one that ships for this version.
        :raises UserError: the file is missing or malformed, or the subject declares a rule that does not exist.
        """
        ids = [rule.id for rule in rules]
        _check_declared(subject, ids)
        expected, expected_from = _expectations(expect, subject, ids)
        return cls(subject, expected, expected_from, strict, certify, tuple(rules))

    @property
    def name(self) -> str:
        return f"{self.subject.name} {self.subject.version}"

    @property
    def wrongly_declared(self) -> list[str]:
        """Rules that are declared unsupported and hold all the same."""
        declared = {entry.rule for entry in self.subject.unsupported}
        return sorted(id for id, result in self.results.items() if id in declared and result.verdict is Verdict.PASS)

    def declared(self, rule: str) -> str | None:
        """Why the subject does not follow a rule, as it declares; None where it does not."""
        return next((entry.reason for entry in self.subject.unsupported if entry.rule == rule), None)

    def result(self, rule: Rule, outcome: BaseException | None, basis: Basis) -> RuleResult:
        """What the outcome of a rule's function says: None for one that has returned, else what it has raised."""
        result = self._result(rule, outcome, basis)
        # An argument or a line of a server's may hold any byte; what travels between processes is UTF-8.
        facts = tuple(map(_well_formed, result.facts))
        return dataclasses.replace(result, headline=_well_formed(result.headline), facts=facts)

    def _result(self, rule: Rule, outcome: BaseException | None, basis: Basis) -> RuleResult:
        known = rule.id in self.expected
        keys = tuple(dict.fromkeys(launch.key for launch in basis.rests_on))
        if outcome is None:
            return RuleResult(rule, Verdict.PASS, "", tuple(basis.facts), keys, known)
        facts: tuple[str, ...] = ()
        if isinstance(outcome, Violation):
            facts = outcome.facts
            verdict, headline = self._violated(rule, outcome)
        elif isinstance(outcome, Unjudged):
            verdict, headline, facts = Verdict.UNJUDGED, outcome.headline, outcome.facts
        elif isinstance(outcome, NotDeclared):
            verdict, headline, facts = Verdict.NOT_DECLARED, str(outcome), (outcome.key,)
        elif isinstance(outcome, DoesNotApply):
            verdict, headline = Verdict.DOES_NOT_APPLY, str(outcome)
        else:
            known_kind = isinstance(outcome, HARNESS_ERRORS)
            verdict = Verdict.ERROR
            headline = in_words(outcome) if known_kind else f"{type(outcome).__name__}: {outcome}"
        return RuleResult(rule, verdict, headline, facts, keys, known)

    def lose(self, rules: Iterable[Rule], why: str) -> None:
        """Keep account of rules that were asked and of which nobody has heard again."""
        for rule in rules:
            if rule.id not in self.results:
                self.results[rule.id] = self.result(rule, Unjudged(why), Basis())

    def _violated(self, rule: Rule, violation: Violation) -> tuple[Verdict, str]:
        declared = self.declared(rule.id)
        if declared is not None:
            return Verdict.UNSUPPORTED, declared
        level = violation.level or rule.level
        return (Verdict.FAIL if level is Level.MUST or self.strict else Verdict.WARN), violation.headline


def _well_formed(text: str) -> str:
    """The same text, with what is no UTF-8 written as ``\\udcff``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _check_declared(subject: Subject, rules: Collection[str]) -> None:
    """:raises UserError: the profile declares a rule unsupported that does not exist, or one twice."""
    seen: set[str] = set()
    for entry in subject.unsupported:
        if entry.rule not in rules:
            raise UserError(
                f"{subject.source}: [[unsupported]] names {entry.rule!r}, and there is no such rule."
                " `gpu-visibility rules` lists them; correct or remove the entry."
            )
        if entry.rule in seen:
            raise UserError(f"{subject.source}: [[unsupported]] names {entry.rule} twice. Keep one entry.")
        seen.add(entry.rule)


def _expectations(expect: str, subject: Subject, rules: Sequence[str]) -> tuple[Mapping[str, Expectation], str]:
    if expect == NO_EXPECTATIONS:
        return {}, f"--gpu-expect={NO_EXPECTATIONS}"
    path = Path(expect) if expect else shipped(subject.name, subject.version)
    if path is None:
        return {}, f"the list of known ones (none ships for {subject.name} {subject.version})"
    return load(path, rules, subject.machine(subject.inventory).name), path.name


def check_globs(globs: Sequence[str], rules: Iterable[Rule]) -> None:
    """:raises UserError: a glob of --gpu-rule matches no rule."""
    ids = [rule.id for rule in rules]
    for glob in globs:
        if not any(matches(id, [glob]) for id in ids):
            raise UserError(
                f"--gpu-rule={glob} matches no rule. Rules are named like {ids[0]}; globs like '{ids[0][:3]}-*' work."
                f" All of them: {', '.join(ids)}."
            )


def matches(id: str, globs: Sequence[str]) -> bool:
    """Whether a rule is one of those that --gpu-rule names."""
    return any(fnmatch.fnmatchcase(id, glob.upper()) for glob in globs)
