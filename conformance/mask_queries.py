"""How a row of ``masks.rules`` becomes a rule for the driver: what is asked, and what is made of the answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pytest_gpuvisibility.masks import BY_ROW, SOURCES, Row, Strength, resolve
from pytest_gpuvisibility.records import NO_DEVICE, SUCCESS, MaskAnswer, MaskQuery
from pytest_gpuvisibility.suite import MUST, SHOULD, DoesNotApply, DriverSubject, Level, Violation, rule

from .masks import Masks

Choice = Callable[[Masks], Iterable[MaskQuery]]
"""Chooses masks on the machine at hand, those that need the fewest devices first."""

CHOICE_ATTRIBUTE = "gpu_row_choice"
THREAD = re.compile(r"https://github\.com/([^/]+/[^/]+)/(?:issues|pull)/(\d+)")
STRONG = {Strength.DOCUMENTED, Strength.HARDWARE}
NOBODY = "the driver does something that nobody thought of"


@dataclass
class MaskQueries:
    """Asks the driver and judges its answers; ``facts`` are what it did where the evidence leaves a choice."""

    driver: DriverSubject
    asked: list[MaskQuery] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    def hold(self, row: Row, choice: Choice) -> None:
        """Ask the driver every query of a row.

        :raises Violation: an answer that the resolver does not allow.
        :raises DoesNotApply: the machine has not what the row speaks of.
        """
        answers = [self._ask(query) for query in queries_of(row, choice, Masks(self.driver.hardware))]
        wrong = [answer for answer in answers if not answer.admitted]
        if wrong:
            what = f"shows other devices than it should ({row.strength})" if row.settled else NOBODY
            raise Violation(f"{row.form}: {what}", [fact for answer in wrong for fact in self._facts(answer)])
        self.facts += [": ".join(self._facts(answer)) for answer in answers if not answer.settled]

    def _ask(self, query: MaskQuery) -> MaskAnswer:
        self.asked.append(query)
        return self.driver.ask(query)

    def _facts(self, answer: MaskAnswer) -> tuple[str, str]:
        shown = self.driver.label(answer.devices)
        if answer.result != (SUCCESS if answer.devices else NO_DEVICE):
            shown += f" and cuInit gives {answer.result}"
        allowed = " or ".join(self.driver.label(devices) for devices in answer.admissible)
        return answer.query.describe(), f"shows {shown}; the table allows {allowed}"


def queries_of(row: Row, choice: Choice, masks: Masks) -> list[MaskQuery]:
    """As many queries as the machine has devices for; of a settled row those that raise no other, open question.

    :raises DoesNotApply: not a single one can be asked.
    """
    asked, lacking = _as_far_as_devices_reach(choice(masks))
    if row.settled:
        asked = [query for query in asked if _settled(query, masks)]
        lacking = lacking or f"every mask that shows this raises an open question too on {masks.inventory.name}"
    if not asked:
        raise DoesNotApply(lacking)
    return asked


def _as_far_as_devices_reach(queries: Iterable[MaskQuery]) -> tuple[list[MaskQuery], str]:
    found: list[MaskQuery] = []
    try:
        for query in queries:
            found.append(query)
    except DoesNotApply as lacking:
        return found, str(lacking)
    return found, ""


def _settled(query: MaskQuery, masks: Masks) -> bool:
    return resolve(query.visible, masks.inventory, device_order=query.device_order).settled


def ask_row(id: str, number: str) -> Callable[[Choice], Callable[[MaskQueries], None]]:
    """Make a function that chooses masks the rule ``id``: under each the driver does what row ``number`` says.

    MUST where the row is settled and rests on documentation or hardware, else SHOULD.
    """
    found = BY_ROW[number]

    def attach(choice: Choice) -> Callable[[MaskQueries], None]:
        def test(mask_queries: MaskQueries) -> None:
            mask_queries.hold(found, choice)

        test.__name__, test.__qualname__, test.__module__ = _names(choice)
        test.__doc__ = "\n\n".join(_docstring(found))
        setattr(test, CHOICE_ATTRIBUTE, (found, choice))
        return rule(id, _level(found), sources=[_source(key) for key in found.sources])(test)

    return attach


def row_of(function: object) -> tuple[Row, Choice]:
    """The row that a rule for the driver speaks of, and what chooses its masks."""
    found: tuple[Row, Choice] = getattr(function, CHOICE_ATTRIBUTE)
    return found


def _names(choice: Any) -> tuple[str, str, str]:
    return choice.__name__, choice.__qualname__, choice.__module__


def _level(row: Row) -> Level:
    return MUST if row.settled and STRONG & set(row.evidence) else SHOULD


def _docstring(row: Row) -> Iterator[str]:
    first, _, rest = row.meaning.partition(". ")
    yield f"{row.form[0].upper()}{row.form[1:]}: {first.rstrip('.')}."
    if rest:
        yield rest
    state = "" if row.settled else "; not settled, so that every outcome the table allows passes and is recorded"
    yield f"Row {row.row} of docs/cuda-visible-devices.md: {row.strength}{state}."


def _source(key: str) -> str:
    """A public thread as ``owner/name#number``, anything else as the table has it."""
    thread = THREAD.match(SOURCES[key])
    return f"{thread[1]}#{thread[2]}" if thread else SOURCES[key]
