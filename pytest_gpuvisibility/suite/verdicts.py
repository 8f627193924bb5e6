"""What a rule is, and what can be said of a server that was judged by it.

No pytest here: a rule is a function that carries a :class:`Rule`, and it speaks by returning (pass) or by raising one
of the exceptions below. Whatever else it raises is a failure of the harness, never of the server.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])
RULE_ATTRIBUTE = "gpu_rule"


class Level(str, enum.Enum):
    """How binding a rule is (RFC 2119)."""

    MUST = "MUST"
    SHOULD = "SHOULD"


MUST = Level.MUST
SHOULD = Level.SHOULD


class Verdict(str, enum.Enum):
    """What one rule says of one server."""

    PASS = "pass"
    FAIL = "fail"
    WARN = "warn"
    """A SHOULD rule is broken."""
    UNSUPPORTED = "unsupported"
    """The profile declares, with a reason, that the server does not do this."""
    NOT_APPLICABLE = "not-applicable"
    """The rule needs something that is not there: more devices, an ability the server does not claim, evidence."""
    ERROR = "error"
    """The harness failed; nothing is known of the server."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One numbered statement about a server.

    ``summary`` is the first line of the rule's docstring, ``explanation`` the rest; ``sources`` are public threads
    (``owner/name#number``) in which people report the failure that the rule catches. ``devices``: how many the machine
    must have. ``inventories``: the shipped ones that it is asked on where the machine at hand is not of that kind.
    """

    id: str
    level: Level
    summary: str
    explanation: str
    sources: tuple[str, ...]
    devices: int = 1
    inventories: tuple[str, ...] = ()


class Violation(AssertionError):
    """The server breaks the rule.

    ``headline`` says in a few words what the server does ("takes GPUs it was not given"); ``facts`` are the lines that
    prove it, the first one naming the launch. ``level``: MUST where a rule that is a SHOULD is broken in a way that
    none may break it.
    """

    def __init__(self, headline: str, facts: Sequence[str] = (), level: Level | None = None) -> None:
        super().__init__(headline, tuple(facts))
        self.headline = headline
        self.facts = tuple(facts)
        self.level = level

    def __str__(self) -> str:
        return "\n".join([self.headline, *(f"  {fact}" for fact in self.facts)])


class NotApplicable(Exception):
    """The rule cannot be asked of this server on this inventory; the message says why."""


def rule(
    id: str, level: Level, *, sources: Sequence[str] = (), devices: int = 1, inventories: Sequence[str] = ()
) -> Callable[[Function], Function]:
    """Make a test function the rule ``id``; the other arguments are those of :class:`Rule`.

    The first line of its docstring is the statement, the rest says why it matters and what a server should do instead.

    :raises TypeError: the function has no docstring; a rule that nobody can read is not a rule.
    """

    def attach(function: Function) -> Function:
        if not function.__doc__:
            raise TypeError(f"rule {id}: {function.__name__} needs a docstring that states the rule")
        summary, _, rest = function.__doc__.strip().partition("\n")
        explanation = "\n".join(line.strip() for line in rest.strip().splitlines())
        made = Rule(id, level, summary.rstrip("."), explanation, tuple(sources), devices, tuple(inventories))
        setattr(function, RULE_ATTRIBUTE, made)
        return function

    return attach


def rule_of(function: object) -> Rule | None:
    """The rule that ``function`` is, if it is one."""
    found = getattr(function, RULE_ATTRIBUTE, None)
    return found if isinstance(found, Rule) else None


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The verdict of one rule, as plain data that travels between processes.

    ``headline`` and ``facts`` are those of the :class:`Violation`, or the reason of any other verdict that is not a
    pass; ``scenarios`` are the keys of the launches it rests on.
    """

    rule: Rule
    verdict: Verdict
    headline: str = ""
    facts: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    known: bool = False
    """The expectations file lists this violation."""

    @property
    def violated(self) -> bool:
        return self.verdict in (Verdict.FAIL, Verdict.WARN)
