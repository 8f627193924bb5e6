"""What is on trial in a pytest session: from the options to one verdict a rule.

pytest runs the rules, in as many pytest-xdist workers as the user likes. The controller prepares the trial and collects
the results; workers get what they need through ``workerinput`` and send results as attributes of test reports.
"""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

from ..errors import UserError
from ..hooks import calls
from ..profile import files as profiles
from ..profile.files import DRIVER
from . import expectations as expectation_files
from .driver_subject import open_driver
from .expectations import Expectation
from .harness_errors import HARNESS_ERRORS, in_words
from .server_subject import open_server
from .subject import Family, Subject
from .verdicts import Level, NotApplicable, Rule, RuleResult, Verdict, Violation, rule_of

SLOW_FAMILY = "LIF"
"""Rules that wait for a server to end: they go first, spread over the pytest-xdist workers."""
RESULT_ATTRIBUTE = "gpu_result"


class Keyed(Protocol):
    """A launch, or a question to the driver."""

    @property
    def key(self) -> str: ...


@dataclass(frozen=True)
class Notes:
    """What a rule rests on: the lists grow while it runs. ``facts`` are what is worth telling of one that passes."""

    rests_on: Sequence[Keyed] = ()
    facts: Sequence[str] = ()


TRIAL = pytest.StashKey["Trial"]()
RESULT = pytest.StashKey[RuleResult]()
NOTES = pytest.StashKey[Notes]()


@dataclass
class Trial:
    """One subject, one version, one set of options, one session."""

    subject: Subject
    expected: Mapping[str, Expectation]
    expected_from: str
    strict: bool
    certify: bool
    results: dict[str, RuleResult] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.subject.name} {self.subject.version}"

    @property
    def wrongly_declared(self) -> list[str]:
        """Rules that are declared unsupported and hold all the same."""
        declared = {entry.rule for entry in self.subject.unsupported}
        return sorted(id for id, result in self.results.items() if id in declared and result.verdict is Verdict.PASS)

    def note(self, item: pytest.Item, rests_on: Sequence[Keyed], facts: Sequence[str] = ()) -> None:
        """The result of ``item`` will hold what the lists hold when it ends."""
        item.stash[NOTES] = Notes(rests_on, facts)


def trial_of(config: pytest.Config) -> Trial:
    """The session's trial.

    :raises pytest.UsageError: no --gpu-server was given.
    """
    if TRIAL not in config.stash:
        raise pytest.UsageError(
            "The conformance suite needs a server to judge: give --gpu-server=NAME (one of"
            f" {', '.join(profiles.names())}), --gpu-server=FILE (a profile; `gpu-visibility check --new NAME` writes"
            f" one), or --gpu-server={DRIVER} for the CUDA driver itself."
        )
    return config.stash[TRIAL]


def family_of(config: pytest.Config) -> Family:
    """Whether --gpu-server names a server or the driver itself."""
    return "driver" if _option(config, "gpu_server") == DRIVER else "server"


def open_trial(config: pytest.Config, room: Path, rules: Sequence[Rule], version: str | None = None) -> Trial:
    """Find what --gpu-server names and its version, and read what is known of it.

    ``version``: what the session's controller has found; None in the controller itself.

    :raises UserError: any of them is missing or malformed.
    """
    source, chosen = _option(config, "gpu_server"), _option(config, "gpu_inventory")
    subject: Subject
    if family_of(config) == "driver":
        subject = open_driver(chosen, room, first=version is None, find_inventory=calls.inventory_finder(config))
    else:
        subject = open_server(
            source,
            chosen,
            room,
            version,
            find_profile=calls.profile_finder(config),
            find_inventory=calls.inventory_finder(config),
            witness=functools.partial(calls.witness, config),
        )
    _check_declared(subject, {rule.id for rule in rules})
    expected, expected_from = _expectations(config, subject, [rule.id for rule in rules])
    return Trial(
        subject=subject,
        expected=expected,
        expected_from=expected_from,
        strict=bool(config.getoption("gpu_strict")),
        certify=bool(config.getoption("gpu_certify")),
    )


def _option(config: pytest.Config, name: str) -> str:
    return str(config.getoption(name) or config.getini(name) or "")


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


def _expectations(
    config: pytest.Config, subject: Subject, rules: Sequence[str]
) -> tuple[Mapping[str, Expectation], str]:
    given = _option(config, "gpu_expect")
    if given == "none":
        return {}, "--gpu-expect=none"
    path = Path(given) if given else expectation_files.shipped(subject.name, subject.version)
    if path is None:
        return {}, f"the list of known ones (none ships for {subject.name} {subject.version})"
    return expectation_files.load(path, rules, subject.machine(subject.inventory).name), path.name


def select(items: list[pytest.Item], globs: Sequence[str]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Items to run and to deselect: rules that no glob matches go."""
    if not globs:
        return items, []
    keep = [item for item in items if (rule := rule_of_item(item)) is None or matches(rule.id, globs)]
    return keep, [item for item in items if item not in keep]


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


def order(items: list[pytest.Item]) -> list[pytest.Item]:
    """Slow rules first and apart: pytest-xdist hands out neighbours to one worker."""
    slow = [item for item in items if (rule := rule_of_item(item)) is not None and rule.id.startswith(SLOW_FAMILY)]
    rest = [item for item in items if item not in slow]
    spread: list[pytest.Item] = []
    for item in slow:
        spread.append(item)
        if rest:
            spread.append(rest.pop(0))
    return spread + rest


def mark_known(items: Iterable[pytest.Item], trial: Trial) -> None:
    """Known violations are strict xfails."""
    for item in items:
        rule = rule_of_item(item)
        if rule is not None and rule.id in trial.expected:
            reason = f"known: {trial.expected[rule.id].seen}"
            item.add_marker(pytest.mark.xfail(raises=Violation, strict=True, reason=reason))


def rule_of_item(item: pytest.Item) -> Rule | None:
    return rule_of(getattr(item, "function", None))


def judge(item: pytest.Function, rule: Rule) -> Generator[None, object, object]:
    """Run one rule and keep its result on the item; a broken SHOULD fails the run under --gpu-strict only."""
    trial = trial_of(item.config)
    declared = next((entry for entry in trial.subject.unsupported if entry.rule == rule.id), None)
    try:
        returned = yield
    except Violation as violation:
        if declared is not None:
            _keep(item, rule, Verdict.UNSUPPORTED, declared.reason, violation.facts)
            _skip_or_fail(trial, f"declared unsupported: {declared.reason}")
        level = violation.level or rule.level
        verdict = Verdict.FAIL if level is Level.MUST or trial.strict else Verdict.WARN
        _keep(item, rule, verdict, violation.headline, violation.facts)
        if verdict is Verdict.WARN and rule.id not in trial.expected:
            return None
        raise
    except NotApplicable as reason:
        _keep(item, rule, Verdict.NOT_APPLICABLE, str(reason))
        _skip_or_fail(trial, f"not applicable: {reason}")
    except HARNESS_ERRORS as error:
        _keep(item, rule, Verdict.ERROR, in_words(error))
        raise
    except Exception as error:
        _keep(item, rule, Verdict.ERROR, f"{type(error).__name__}: {error}")
        raise
    _keep(item, rule, Verdict.PASS)
    if declared is not None:
        pytest.fail(
            f"{rule.id} is declared unsupported ({declared.reason}), and it holds. Remove its entry from"
            f" {trial.subject.source}.",
            pytrace=False,
        )
    return returned


def _skip_or_fail(trial: Trial, reason: str) -> None:
    if trial.certify:
        pytest.fail(f"--gpu-certify allows no rule to be left out; this one is {reason}", pytrace=False)
    pytest.skip(reason)


def _keep(item: pytest.Item, rule: Rule, verdict: Verdict, headline: str = "", facts: Sequence[str] = ()) -> None:
    notes = item.stash.get(NOTES, Notes())
    keys = tuple(dict.fromkeys(basis.key for basis in notes.rests_on))
    if verdict is Verdict.PASS:
        facts = notes.facts
    known = rule.id in trial_of(item.config).expected
    item.stash[RESULT] = RuleResult(rule, verdict, headline, tuple(facts), keys, known)
    item.user_properties += [("gpu_rule", rule.id), ("gpu_level", rule.level.value), ("gpu_verdict", verdict.value)]


def send(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Put the item's result on its report, and show a violation as its own words instead of a traceback."""
    rule = rule_of_item(item)
    if rule is None or TRIAL not in item.config.stash:
        return
    if call.when == "setup" and call.excinfo is not None and RESULT not in item.stash:
        _keep(item, rule, Verdict.ERROR, f"the harness failed: {call.excinfo.value}")
        setattr(report, RESULT_ATTRIBUTE, item.stash[RESULT].as_dict())
    if call.when == "call" and RESULT in item.stash:
        setattr(report, RESULT_ATTRIBUTE, item.stash[RESULT].as_dict())
        if call.excinfo is not None and report.failed and isinstance(call.excinfo.value, (Violation, *HARNESS_ERRORS)):
            said = call.excinfo.value
            words = str(said) if isinstance(said, Violation) else in_words(said)
            report.longrepr = f"{rule.id} ({rule.level.value}): {rule.summary}\n\n{words}"


def receive(trial: Trial, report: pytest.TestReport) -> None:
    """Collect the result that a report carries."""
    data: dict[str, Any] | None = getattr(report, RESULT_ATTRIBUTE, None)
    if data is not None:
        result = RuleResult.from_dict(data)
        trial.results[result.rule.id] = result
