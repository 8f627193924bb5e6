"""What CUDA_VISIBLE_DEVICES means: the reference implementation of the table in ``masks.rules``.

Reading follows the table from top to bottom. Where the evidence leaves a question open, the reader asks: the
default answer gives ``Visibility.devices`` (and is what the simulated driver does), all answers together give
``Visibility.admissible``. Nothing that a variable can hold makes it raise.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from ..errors import UserError
from ..inventory import AnyDevice, Device, Inventory, MigDevice
from .reader import (
    FIRST_WITH_MIG_UUIDS,
    Answers,
    Enumeration,
    Reading,
    Units,
    enumeration_of,
    one_per_instance,
    read,
    split,
)
from .rules import BY_ROW, NAMES_OF_SLICES, REASONS
from .written import Mask, written

Status = Literal["visible", "skipped", "ends", "repeats", "hidden"]

_ORDERS = (None, "FASTEST_FIRST", "PCI_BUS_ID")

# A mask that raises n open questions has up to 2**n readings. Real ones raise one or two; whoever writes ten
# into one mask gets those readings that differ least from the default.
_MOST_READINGS = 128
ONE_OF_AN_INSTANCE = "CUDA shows one compute instance of each GPU instance"


@dataclass(frozen=True, slots=True)
class Token:
    """One element of the list, what became of it, and the row of the table that says so.

    ``status`` is ``visible`` (it shows ``devices``, as CUDA's ``ordinals``), ``skipped`` (valid, shows
    nothing), ``ends`` (the list ends here), ``repeats`` (names a device again, which hides them all) or
    ``hidden`` (by another token).
    """

    text: str
    position: int
    status: Status
    row: str
    reason: str
    devices: Units = ()
    ordinals: tuple[int, ...] = ()

    @property
    def device(self) -> AnyDevice | None:
        """The device it shows; the first, if it shows several MIG slices; None if it shows none."""
        return self.devices[0] if self.devices else None

    @property
    def evidence(self) -> str:
        """How sure the row is, in words."""
        return BY_ROW[self.row].strength


@dataclass(frozen=True, slots=True)
class Hidden:
    """A device that the process does not see, and why."""

    device: AnyDevice
    reason: str


@dataclass(frozen=True)
class Visibility:
    """What a CUDA process sees on an inventory under one environment.

    ``devices`` are in CUDA's order: ``devices[i]`` is what the process calls ``cuda:i``. ``requested`` is the
    value of CUDA_VISIBLE_DEVICES (None: not set), ``device_order`` that of CUDA_DEVICE_ORDER, ``driver`` the
    driver's major number.
    """

    requested: str | None
    inventory: Inventory
    device_order: str | None
    driver: int
    devices: Units

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        """What became of each element of the list; empty where the variable is not set."""
        return tuple(_explained(self._reading, split(self.requested) or []))

    @cached_property
    def hidden(self) -> tuple[Hidden, ...]:
        """Every GPU and MIG slice that the process does not see, in the inventory's order, and why."""
        visible = {unit.uuid for unit in self.devices}
        return tuple(
            Hidden(unit, self._why_hidden(unit))
            for unit in self.inventory.units
            if unit.uuid not in visible and not (isinstance(unit, Device) and unit.mig_enabled and unit.mig)
        )

    @property
    def admissible(self) -> tuple[Units, ...]:
        """Every outcome that the evidence allows, the default first; exactly one where it is settled."""
        return self._outcomes[0]

    @property
    def unsettled_rows(self) -> tuple[str, ...]:
        """The rows of the table that leave more than one outcome; empty where it is settled."""
        return self._outcomes[1]

    @property
    def settled(self) -> bool:
        return len(self.admissible) == 1

    @cached_property
    def value(self) -> str:
        """The plainest mask that gives the same result: ``"0,2"`` for ``" 0, 2gpu,x,1"``."""
        return narrow(self, range(len(self.devices)))

    @cached_property
    def _reading(self) -> Reading:
        return read(split(self.requested), self._enumeration)

    @property
    def _enumeration(self) -> Enumeration:
        return enumeration_of(self.inventory, self.device_order, self.driver)

    @cached_property
    def _outcomes(self) -> tuple[tuple[Units, ...], tuple[str, ...]]:
        return _explore(self)

    def _why_hidden(self, unit: AnyDevice) -> str:
        gpu = self.inventory.devices[unit.index]
        if "driver-not-loaded" in self.inventory.faults:
            return "the driver is not loaded"
        if gpu.lost:
            return "lost: CUDA does not enumerate it"
        if isinstance(unit, Device) and unit.mig_enabled:
            return "in MIG mode, and has no slice"
        if isinstance(unit, MigDevice) and unit not in one_per_instance(gpu):
            return ONE_OF_AN_INSTANCE
        if self._reading.repeats:
            return "the list names a device twice, which hides every one"
        if any(unit in (step.units or ()) for step in self._reading.steps):
            if self._enumeration.shows_many_slices:
                return ONE_OF_AN_INSTANCE
            return "before R570 a process sees one MIG device and nothing else"
        return "not in the list, or after its end"


def resolve(
    value: Mask | None,
    inventory: Inventory,
    *,
    device_order: str | None = None,
    driver: str | None = None,
) -> Visibility:
    """What a CUDA process sees on ``inventory`` when CUDA_VISIBLE_DEVICES is ``value`` (None: not set).

    ``value`` may also be a number, a device, or several of those, as :func:`written` has them. ``device_order`` is the
    value of CUDA_DEVICE_ORDER (None: not set, which is FASTEST_FIRST). ``driver`` is a driver's version such as
    ``"570"`` or ``"580.95.05"``, by default the inventory's: MIG changed with R470 and R570.

    :raises UserError: ``driver`` is no version, or ``value`` something else. No value of the variable raises.
    """
    value = value if value is None or isinstance(value, str) else written(value)
    major = _major(inventory.driver_version if driver is None else driver)
    devices = read(split(value), enumeration_of(inventory, device_order, major)).devices
    return Visibility(value, inventory, device_order, major, devices)


def narrow(visibility: Visibility, positions: Iterable[int]) -> str:
    """The CUDA_VISIBLE_DEVICES that passes on to a child those devices which the caller knows as
    ``cuda:position``.

    A child's value replaces its parent's (row 41), so it counts in the driver's list, or names UUIDs: those
    where the caller's own value did, and for MIG slices. The child must inherit CUDA_DEVICE_ORDER too.

    :raises UserError: a position that the caller does not have, or one given twice; GPUs together with only
        some slices of another GPU, which no single value can express.
    """
    chosen = _at_positions(visibility, list(positions))
    if all(isinstance(unit, MigDevice) for unit in chosen):
        return ",".join(_mig_name(unit, visibility.driver) for unit in chosen if isinstance(unit, MigDevice))
    gpus = [visibility.inventory.devices[index] for index in dict.fromkeys(unit.index for unit in chosen)]
    ordinal_of = visibility._enumeration.ordinal_of
    value = ",".join(gpu.uuid if _names_uuids(visibility) else str(ordinal_of[gpu.index]) for gpu in gpus)
    # Where slices are among them, a GPU in MIG mode must stand for exactly those.
    if any(gpu.mig_enabled for gpu in gpus) and read(split(value), visibility._enumeration).devices != chosen:
        raise UserError(
            f"GPUs and MIG slices under {_shown(visibility)} cannot be passed on together in this choice and"
            " order: one CUDA_VISIBLE_DEVICES names either GPUs or slices, and a GPU in MIG mode stands for"
            " all its slices. Pass on GPUs and slices to different children, or every slice of the GPU in"
            " its order."
        )
    return value


def positions_of(visibility: Visibility, child: Visibility) -> tuple[int, ...]:
    """What the caller calls the child's devices, in the child's order: the inverse of :func:`narrow`.

    :raises UserError: the child sees a device that the caller does not.
    """
    place = {unit.uuid: position for position, unit in enumerate(visibility.devices)}
    escaped = [unit.uuid for unit in child.devices if unit.uuid not in place]
    if escaped:
        raise UserError(
            f"Under {_shown(child)} a child sees {', '.join(escaped)}, which its parent under"
            f" {_shown(visibility)} does not: a child's value replaces its parent's and counts in the"
            " driver's list. Write what narrow() returns."
        )
    return tuple(place[unit.uuid] for unit in child.devices)


def contained(child: Visibility, parent: Visibility) -> bool:
    """Whether every device that ``child`` sees is one that ``parent`` sees, by UUID."""
    return {unit.uuid for unit in child.devices} <= {unit.uuid for unit in parent.devices}


def _at_positions(visibility: Visibility, positions: list[int]) -> Units:
    count = len(visibility.devices)
    for place, position in enumerate(positions):
        if not 0 <= position < count:
            there = {0: "no device", 1: "only device 0"}.get(count, f"only devices 0-{count - 1}")
            raise UserError(
                f"Device {position} cannot be passed on: under {_shown(visibility)} there is {there}"
                f" (inventory {visibility.inventory.name}). Pass on devices that the caller has itself."
            )
        if position in positions[:place]:
            raise UserError(
                f"Device {position} is passed on twice. CUDA shows no device at all under a mask that names"
                " one twice; name each once."
            )
    return tuple(visibility.devices[position] for position in positions)


def _names_uuids(visibility: Visibility) -> bool:
    return (visibility.requested or "").lstrip().startswith(("GPU-", "MIG-"))


def _mig_name(unit: MigDevice, driver: int) -> str:
    if driver >= FIRST_WITH_MIG_UUIDS or unit.uuid.startswith("MIG-GPU-"):
        return unit.uuid
    return f"MIG-{unit.parent_uuid}/{unit.gpu_instance}/{unit.compute_instance}"


def _shown(visibility: Visibility) -> str:
    value = visibility.requested
    return "an unset CUDA_VISIBLE_DEVICES" if value is None else f"CUDA_VISIBLE_DEVICES={value!r}"


@lru_cache(maxsize=128)
def _major(driver: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})*", driver):
        raise UserError(f"{driver!r} is no driver version. Give one such as 570 or 580.95.05.")
    return int(driver.partition(".")[0])


def _explore(visibility: Visibility) -> tuple[tuple[Units, ...], tuple[str, ...]]:
    """The distinct outcomes, those nearest to the default first, and the rows that lead to them."""
    tokens = split(visibility.requested)
    outcomes: dict[tuple[str, ...], Units] = {}
    rows: dict[str, None] = {}
    default: frozenset[tuple[str, int]] = frozenset()
    waiting, known = deque([default]), {default}
    while waiting:
        given = waiting.popleft()
        answers = Answers(dict(given))
        by_bus = visibility.device_order not in _ORDERS and answers.choose("37")
        order = "PCI_BUS_ID" if by_bus else visibility.device_order
        devices = read(tokens, enumeration_of(visibility.inventory, order, visibility.driver), answers).devices
        key = tuple(unit.uuid for unit in devices)
        if key not in outcomes:
            outcomes[key] = devices
            rows.update(dict.fromkeys(row.partition(":")[0] for row, _ in sorted(given)))
        for further in answers.others():
            if further not in known and len(known) < _MOST_READINGS:
                known.add(further)
                waiting.append(further)
    return tuple(outcomes.values()), tuple(rows)


def _explained(reading: Reading, tokens: list[str]) -> Iterator[Token]:
    place = {unit.uuid: ordinal for ordinal, unit in enumerate(reading.devices)}
    end = len(reading.steps) - 1
    for position, text in enumerate(tokens):
        if position > end:
            yield _after_the_end(reading, text, position)
            continue
        units, row = reading.steps[position]
        ordinals = tuple(place[unit.uuid] for unit in units or () if unit.uuid in place)
        reason = REASONS.get(row, "")
        if reading.repeats:
            yield _of_repeating(reading, text, position)
        elif units is None:
            yield Token(text, position, "ends", row, reason)
        elif ordinals:
            reason = "" if row in NAMES_OF_SLICES else reason
            yield Token(text, position, "visible", row, reason, tuple(reading.devices[i] for i in ordinals), ordinals)
        elif units:
            row = _row_of_unshown(units[0], reading.devices)
            yield Token(text, position, "hidden", row, REASONS[row])
        else:
            yield Token(text, position, "skipped", row, reason)


def _row_of_unshown(unit: AnyDevice, shown: Units) -> str:
    if not isinstance(unit, MigDevice):
        return "29"
    instances = {(other.index, other.gpu_instance) for other in shown if isinstance(other, MigDevice)}
    return "31" if (unit.index, unit.gpu_instance) in instances else "30"


def _after_the_end(reading: Reading, text: str, position: int) -> Token:
    if reading.repeats:
        return _of_repeating(reading, text, position)
    return Token(text, position, "hidden", "7", "after the end")


def _of_repeating(reading: Reading, text: str, position: int) -> Token:
    units, row = reading.steps[-1]
    if position == len(reading.steps) - 1:
        twice = ", ".join(f"GPU {unit.index}" for unit in (units or ())[:1])
        return Token(text, position, "repeats", row, f"names {twice} again: no device at all")
    return Token(text, position, "hidden", row, "a device is named twice")
