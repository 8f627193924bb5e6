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
    DOES_NOT_APPLY = "does-not-apply"
    """The rule needs other hardware, or a thing that this server has not."""
    NOT_DECLARED = "not-declared"
    """The rule is about a thing that the profile leaves out: nobody knows whether the server has it."""
    UNJUDGED = "unjudged"
    """The evidence that the rule needs was not seen; nothing is known of the server."""
    ERROR = "error"
    """The harness failed; nothing is known of the server."""


class Need(str, enum.Enum):
    """What must have been seen of a launch that became ready before a rule may speak of it."""

    ANSWERS = "answers"
    """Every request was answered, not only the sign of readiness given."""
    WORKERS = "workers"
    """As many workers are known as were asked for, each with a device where those before it had one."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One numbered statement about a server.

    ``summary`` is the first line of the rule's docstring, ``explanation`` the rest; ``sources`` are public threads
    (``owner/name#number``) in which people report the failure that the rule catches. ``devices``: how many the machine
    must have. ``inventories``: the shipped ones that it is asked on where the machine at hand is not of that kind.
    ``needs``: what must have been seen of each launch; without it the rule is unjudged.
    """

    id: str
    level: Level
    summary: str
    explanation: str
    sources: tuple[str, ...]
    devices: int = 1
    inventories: tuple[str, ...] = ()
    needs: tuple[Need, ...] = tuple(Need)


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


class DoesNotApply(Exception):
    """The rule cannot be asked of this server on this inventory; the message says why."""


class NotDeclared(Exception):
    """The profile leaves out what the rule is about: ``key``, such as ``[server.options].cpu``."""

    def __init__(self, key: str, words: str) -> None:
        super().__init__(f"{words} ({key})")
        self.key = key


class Unjudged(Exception):
    """Too little was seen of a launch to say that the server keeps the rule, or that it breaks it.

    ``headline`` says what is missing ("saw 1 of 2 workers"); ``facts`` are the lines that show it, the first one naming
    the launch.
    """

    def __init__(self, headline: str, facts: Sequence[str] = ()) -> None:
        super().__init__(headline, tuple(facts))
        self.headline = headline
        self.facts = tuple(facts)

    def __str__(self) -> str:
        return "\n".join([self.headline, *(f"  {fact}" for fact in self.facts)])


def rule(
    id: str,
    level: Level,
    *,
    sources: Sequence[str] = (),
    devices: int = 1,
    inventories: Sequence[str] = (),
    needs: Sequence[Need] = tuple(Need),
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
        found = summary.rstrip("."), explanation, tuple(sources), devices, tuple(inventories), tuple(needs)
        made = Rule(id, level, *found)
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
    pass; the one fact of a rule that is not declared is the key that the profile leaves out. ``scenarios`` are the keys
    of the launches it rests on.
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
