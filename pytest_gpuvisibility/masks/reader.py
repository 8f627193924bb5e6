"""Reading CUDA_VISIBLE_DEVICES token by token, as the table in ``masks.rules`` has it.

Where the evidence leaves a question open, the reader asks :class:`Answers`; without one it takes the default,
which is also what the simulated driver does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias, TypeVar

from ..inventory import AnyDevice, Device, Inventory, MigDevice

FIRST_WITH_MIG_UUIDS = 470
FIRST_WITH_MANY_SLICES = 570

Units: TypeAlias = tuple[AnyDevice, ...]
AnyUnit = TypeVar("AnyUnit", Device, MigDevice)

_C_SPACE = " \t\n\v\f\r"
_INT_MAX = (1 << 31) - 1
_ORDINAL = re.compile(r"([+-]?)([0-9]+)")
_HEXADECIMAL = re.compile(r"0[xX]([0-9a-fA-F]+)")
_BARE_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}")
_LEGACY_MIG = re.compile(r"MIG-(GPU-[^/]*)/([0-9]{1,9})/([0-9]{1,9})")

# Rows that have a number of their own where the first token is what ends the list.
_AS_FIRST = {"6": "4", "7": "8"}


class Step(NamedTuple):
    """What one token means: the units it names, or None where it ends the list; and the row that says so."""

    units: Units | None
    row: str


class Reading(NamedTuple):
    """What a mask shows, the steps up to its end, and whether the last one names a unit again."""

    devices: Units
    steps: list[Step]
    repeats: bool


class Answers:
    """How an exploring reader answers open questions: by the number of the row; 0 is the default."""

    def __init__(self, given: Mapping[str, int]) -> None:
        self.given = given
        self.asked: dict[str, int] = {}

    def choose(self, question: str, options: int = 2) -> int:
        self.asked[question] = options
        return self.given.get(question, 0)

    def others(self) -> Iterator[frozenset[tuple[str, int]]]:
        """These answers with one more question answered otherwise than by default."""
        for question, options in self.asked.items():
            if question not in self.given:
                for option in range(1, options):
                    yield frozenset({*self.given.items(), (question, option)})


class Enumeration:
    """The GPUs that CUDA has in one order, before any mask, and what the driver does with MIG."""

    def __init__(self, inventory: Inventory, order: str | None, driver: int) -> None:
        self.gpus = inventory.in_pci_order if order == "PCI_BUS_ID" else inventory.fastest_first
        self.slices = [unit for gpu in self.gpus for unit in gpu.mig]
        self.ordinal_of = {gpu.index: ordinal for ordinal, gpu in enumerate(self.gpus)}
        self.has_mig_uuids = driver >= FIRST_WITH_MIG_UUIDS
        self.shows_many_slices = driver >= FIRST_WITH_MANY_SLICES
        # What nearly every token is. Ordinals of GPUs in MIG mode raise questions and take the long way.
        self.plain = {str(i): Step((gpu,), "5") for i, gpu in enumerate(self.gpus) if not gpu.mig_enabled}


@lru_cache(maxsize=128)
def enumeration_of(inventory: Inventory, order: str | None, driver: int) -> Enumeration:
    """The machine that ``inventory`` is to CUDA under a CUDA_DEVICE_ORDER and a major driver version."""
    return Enumeration(inventory, order, driver)


def one_per_instance(gpu: Device) -> tuple[MigDevice, ...]:
    """The slices of a GPU that CUDA can show at once: the first compute instance of each GPU instance."""
    first: dict[int, MigDevice] = {}
    for unit in gpu.mig:
        first.setdefault(unit.gpu_instance, unit)
    return tuple(first.values())


def split(value: str | None) -> list[str] | None:
    """The tokens of a mask; None where it is not set."""
    if value is None:
        return None
    # An environment's strings end at the first NUL.
    return (value if "\0" not in value else value[: value.index("\0")]).split(",")


def read(tokens: Sequence[str] | None, enumeration: Enumeration, answers: Answers | None = None) -> Reading:
    """Read a list of tokens up to its end; None is a variable that is not set."""
    if tokens is None:
        everything = tuple(
            unit for gpu in enumeration.gpus for unit in (one_per_instance(gpu) if gpu.mig_enabled else (gpu,))
        )
        return Reading(_limited(everything, enumeration, answers), [Step(everything, "1")], False)
    read_token = _reader_of(tokens[0].lstrip(_C_SPACE), answers)
    plain = enumeration.plain if read_token is _read_ordinal else {}
    steps: list[Step] = []
    shown: list[AnyDevice] = []
    named_at: dict[str, int] = {}
    for position, text in enumerate(tokens):
        step = plain.get(text) or read_token(text, enumeration, answers)
        steps.append(step)
        if step.units is None:
            if answers and position and step.row in ("7", "21"):
                _ask_whether_repetitions_come_first(tokens, shown, answers)
            steps[-1] = _ending(step, position, tokens)
            break
        for unit in step.units:
            before = named_at.setdefault(unit.uuid, position)
            row = before != position and _repetition(text, tokens[before], read_token is _read_ordinal, answers)
            if row:
                steps[-1] = Step(step.units, row)
                return Reading((), steps, True)
            shown.append(unit)
    return Reading(_limited(tuple(shown), enumeration, answers), steps, False)


def _ask_whether_repetitions_come_first(tokens: Sequence[str], shown: list[AnyDevice], answers: Answers) -> None:
    """Row 11: a reader may look for repeated numbers before it looks whether there are so many devices."""
    if shown and _repeats_a_number(tokens) and answers.choose("11"):
        shown.clear()


def _repeats_a_number(tokens: Sequence[str]) -> bool:
    seen: set[str] = set()
    for text in tokens:
        match = _ORDINAL.match(text.lstrip(_C_SPACE))
        number = match[2].lstrip("0") if match else ""
        if match is None or (match[1] == "-" and number):
            return False
        if number in seen:
            return True
        seen.add(number)
    return False


def _repetition(text: str, earlier: str, ordinals: bool, answers: Answers | None) -> str:
    """The row under which naming a unit again hides all; empty where it is listed twice instead."""
    if not ordinals:
        return "25d"
    if text.strip(_C_SPACE) == earlier.strip(_C_SPACE):
        return "9"
    return "" if _choose(answers, "12") else "12"


def _ending(step: Step, position: int, tokens: Sequence[str]) -> Step:
    """The same step with the row that speaks of just this place in the list."""
    if step.row == "20" and len(tokens) == 1:
        return Step(None, "3" if tokens[0] else "2")
    return Step(None, step.row if position else _AS_FIRST.get(step.row, step.row))


def _limited(units: Units, enumeration: Enumeration, answers: Answers | None) -> Units:
    """What a driver shows of all that is named: before R570 one MIG device, then one of each instance."""
    slices = tuple(unit for unit in units if isinstance(unit, MigDevice)) if enumeration.slices else ()
    if not slices:
        return units
    if not enumeration.shows_many_slices:
        return slices[:1]
    of_instance: dict[tuple[int, int], AnyDevice] = {}
    last_wins = len(slices) > 1 and _several_of_an_instance(slices) and _choose(answers, "31:instance")
    for unit in units:
        key = (unit.index, unit.gpu_instance if isinstance(unit, MigDevice) else -1)
        if last_wins:
            of_instance[key] = unit
        else:
            of_instance.setdefault(key, unit)
    if len(of_instance) > 1 and _choose(answers, "31"):
        return slices[:1]
    return tuple(of_instance.values())


def _several_of_an_instance(slices: Iterable[MigDevice]) -> bool:
    instances = [(unit.index, unit.gpu_instance) for unit in slices]
    return len(set(instances)) < len(instances)


def _choose(answers: Answers | None, question: str, options: int = 2) -> int:
    """Which reading of an open row to follow; the default where nobody explores."""
    return answers.choose(question, options) if answers else 0


# Tokens. Each kind of list has its own reader.


def _reader_of(first: str, answers: Answers | None) -> Callable[[str, Enumeration, Answers | None], Step]:
    """The kind of the whole list, which its first token fixes."""
    start = first[:4]
    if start not in _READERS and start.upper() in _READERS and _choose(answers, "25g"):
        start = start.upper()
    return _READERS.get(start, _read_ordinal)


def _read_ordinal(text: str, enumeration: Enumeration, answers: Answers | None) -> Step:
    token = text.lstrip(_C_SPACE)
    match = _ORDINAL.match(token)
    if match is None:
        return Step(None, _row_of_no_number(token))
    sign, digits = match.groups()
    row = _row_of_number(text, token, match)
    number = _number(token[len(sign) :], digits, answers)
    negative = sign == "-" and number > 0
    if number > _INT_MAX:
        # Only the last 32 digits matter: 10**32 is a multiple of 2**32.
        wrapped = int(sign + digits[-32:]) % (1 << 32)
        if wrapped < len(enumeration.gpus) and _choose(answers, "21"):
            number, negative = wrapped, False
    if negative:
        return Step(None, "6")
    if number >= len(enumeration.gpus):
        return Step(None, "21" if number > _INT_MAX else "7")
    if sign and _choose(answers, "14"):
        return Step(None, "14")
    if _BARE_UUID.match(token) and _choose(answers, "25f"):
        return Step(None, "25f")
    return _step_of(enumeration.gpus[number], row, "32", enumeration, answers)


def _row_of_no_number(token: str) -> str:
    if not token:
        return "20"
    if token.startswith(("GPU-", "MIG-")):
        return "26"
    if token[:4].upper() in _READERS:
        return "25g"
    return {"NoDevFiles": "22", "all": "23", "none": "23", "void": "23"}.get(token, "19")


def _row_of_number(text: str, token: str, match: re.Match[str]) -> str:
    sign, digits = match.groups()
    rest = token[match.end() :]
    if sign:
        return "14"
    if digits == "0" and rest[:1] in ("x", "X"):
        return "18"
    if digits[0] == "0" and len(digits) > 1:
        return "17"
    if not rest.strip(_C_SPACE):
        return "13" if rest or token != text else "5"
    return "16" if re.fullmatch(r"-[0-9]+", rest) else "15"


def _number(token: str, digits: str, answers: Answers | None) -> int:
    """The number that an unsigned token begins with; any one beyond 31 bits stands for all of them."""
    number = _bounded(digits, 10)
    if digits[0] != "0":
        return number
    hexadecimal = _HEXADECIMAL.match(token)
    base_0 = (
        _bounded(hexadecimal[1], 16)
        if hexadecimal
        else _bounded(digits[: len(digits) - len(digits.lstrip("01234567"))], 8)
    )
    if base_0 != number and _choose(answers, "18" if hexadecimal else "17"):
        return base_0
    return number


def _bounded(digits: str, base: int) -> int:
    # Numbers of 11 octal digits may have 31 bits, longer ones have more; and int() refuses thousands of
    # digits.
    significant = digits.lstrip("0") or "0"
    return int(significant, base) if len(significant) <= 11 else _INT_MAX + 1


def _read_gpu(text: str, enumeration: Enumeration, answers: Answers | None) -> Step:
    token = _without_space(text, answers)
    if token is None:
        return Step(None, "25h")
    if not token.startswith("GPU-") and not _differs_in_case(token, "GPU-", answers):
        return Step(None, _row_of_other_kind(token, "GPU-"))
    found = _beginning_with(token, enumeration.gpus, answers)
    if len(found) != 1:
        return Step(None, "25b" if found else "25c")
    if len(token) == len("GPU-") and _choose(answers, "25e"):
        return Step(None, "25e")
    if found[0].mig_enabled and _choose(answers, "33"):
        return Step(None, "33")
    row = "25" if len(token) == len(found[0].uuid) else "25e" if len(token) == len("GPU-") else "25a"
    return _step_of(found[0], row, "33", enumeration, answers)


def _read_mig(text: str, enumeration: Enumeration, answers: Answers | None) -> Step:
    token = _without_space(text, answers)
    if token is None:
        return Step(None, "25h")
    if not token.startswith("MIG-") and not _differs_in_case(token, "MIG-", answers):
        return Step(None, _row_of_other_kind(token, "MIG-"))
    legacy = _LEGACY_MIG.fullmatch(token)
    if legacy:
        return _legacy_slice(legacy, enumeration)
    if not enumeration.has_mig_uuids:
        return Step(None, "28")
    found = _beginning_with(token, enumeration.slices, answers)
    if len(found) == 1 and len(token) == len(found[0].uuid):
        return Step((found[0],), "28")
    if len(found) == 1 and _choose(answers, "28b"):
        return Step((found[0],), "28b")
    return Step(None, "28b" if found else "28")


def _legacy_slice(match: re.Match[str], enumeration: Enumeration) -> Step:
    prefix, gpu_instance, compute_instance = match[1], int(match[2]), int(match[3])
    parents = [gpu for gpu in enumeration.gpus if gpu.uuid.startswith(prefix)]
    for unit in parents[0].mig if len(parents) == 1 else ():
        if (unit.gpu_instance, unit.compute_instance) == (gpu_instance, compute_instance):
            return Step((unit,), "28a")
    return Step(None, "28a")


def _without_space(text: str, answers: Answers | None) -> str | None:
    """Row 25h: leading space is skipped (0), or none is and this is no UUID (1), or all is skipped (2)."""
    token = text.lstrip(_C_SPACE)
    stripped = token.rstrip(_C_SPACE)
    if token != text and stripped and _choose(answers, "25h", 3) == 1:
        return None
    if stripped != token and _choose(answers, "25h", 3) == 2:
        return stripped
    return token


def _row_of_other_kind(token: str, kind: str) -> str:
    if not token:
        return "20"
    return "25g" if token[:4].upper() == kind else "26"


def _differs_in_case(token: str, kind: str, answers: Answers | None) -> bool:
    return token[:4].upper() == kind and _choose(answers, "25g") == 1


def _beginning_with(token: str, units: Sequence[AnyUnit], answers: Answers | None) -> list[AnyUnit]:
    found = [unit for unit in units if unit.uuid.startswith(token)]
    lower = token.lower()
    in_any_case = [] if found else [unit for unit in units if unit.uuid.lower().startswith(lower)]
    return in_any_case if in_any_case and _choose(answers, "25g") else found


def _step_of(gpu: Device, row: str, mig_row: str, enumeration: Enumeration, answers: Answers | None) -> Step:
    """What naming a GPU shows: itself, or what it is cut into."""
    if not gpu.mig_enabled:
        return Step((gpu,), row)
    slices = one_per_instance(gpu)
    if not slices:
        return Step((), "32a") if _choose(answers, "32a") else Step(None, "32a")
    if enumeration.shows_many_slices and len(slices) > 1 and _choose(answers, "32"):
        return Step(slices[:1], mig_row)
    return Step(slices, mig_row)


_READERS = {"GPU-": _read_gpu, "MIG-": _read_mig}
