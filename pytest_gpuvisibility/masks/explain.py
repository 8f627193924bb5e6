"""What a mask means, for people and for programs; and the table of rules as a page of the documentation.

``python -m pytest_gpuvisibility.masks.explain`` prints that page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..inventory import AnyDevice, Inventory, label
from .reader import Units
from .resolver import Token, Visibility
from .rules import BY_ROW, RULES, SOURCES, Example, Row, Strength

_WIDTH = 100
_TOKEN_WIDTH = 16
_MOST_TOKENS = 70
_MOST_OUTCOMES = 10
_UUID_SHOWN = 8


def explain(visibility: Visibility) -> str:
    """The mask token by token, and every outcome where it is not settled: lines of at most 100 columns."""
    lines = [_summary(visibility), "", *_table(visibility)]
    if not visibility.settled:
        lines += ["", *_alternatives(visibility)]
    return "\n".join(lines)


def as_json(visibility: Visibility) -> dict[str, Any]:
    """The same for programs. ``index`` is the GPU's in PCI order (a MIG slice has its GPU's), ``ordinal`` is
    CUDA's.

    ``admissible`` lists indices; where MIG slices are visible ``admissible_uuids`` tells them apart.
    """
    return {
        "requested": visibility.requested,
        "inventory": visibility.inventory.name,
        "value": visibility.value,
        "devices": [
            {"index": unit.index, "uuid": unit.uuid, "name": unit.name, "ordinal": ordinal}
            for ordinal, unit in enumerate(visibility.devices)
        ],
        "tokens": [_token_as_json(token) for token in visibility.tokens],
        "hidden": [
            {"index": hidden.device.index, "uuid": hidden.device.uuid, "reason": hidden.reason}
            for hidden in visibility.hidden
        ],
        "settled": visibility.settled,
        "unsettled_rows": list(visibility.unsettled_rows),
        "admissible": [[unit.index for unit in outcome] for outcome in visibility.admissible],
        "admissible_uuids": [[unit.uuid for unit in outcome] for outcome in visibility.admissible],
    }


def _token_as_json(token: Token) -> dict[str, Any]:
    return {
        "text": token.text,
        "status": token.status,
        "row": token.row,
        "evidence": token.evidence,
        "reason": token.reason,
        "uuids": [unit.uuid for unit in token.devices],
        "ordinals": list(token.ordinals),
    }


def _summary(visibility: Visibility) -> str:
    count, total = len(visibility.devices), len(visibility.devices) + len(visibility.hidden)
    if not total:
        return "CUDA sees no device: the machine has none"
    devices = "1 device" if total == 1 else f"{total} devices"
    if not count:
        return f"CUDA sees none of {devices}: cuInit fails with CUDA_ERROR_NO_DEVICE (100)"
    return f"CUDA sees {'all' if 1 < count == total else count} of {devices}"


def _table(visibility: Visibility) -> Iterator[str]:
    rows = list(_rows(visibility))
    first = max((len(text) for text, _, _ in rows), default=0)
    second = max((len(what) for _, what, _ in rows), default=0)
    for text, what, evidence in rows:
        line = f"  {text:<{first}}   {what:<{second}}    {evidence}"
        # Where not all kinds of evidence fit, the surest says most.
        yield line if len(line) <= _WIDTH else _clipped(line.rpartition(", ")[0], _WIDTH)
    left = len(visibility.tokens) - _MOST_TOKENS
    if left > 0:
        yield f"  and {left} more, the last of them {visibility.tokens[-1].status}"


def _rows(visibility: Visibility) -> Iterator[tuple[str, str, str]]:
    if visibility.requested is None:
        rule = BY_ROW["1"]
        for ordinal, unit in enumerate(visibility.devices):
            yield "(unset)", _named(ordinal, unit), rule.strength
    for token in visibility.tokens[:_MOST_TOKENS]:
        text = _printable(token.text)
        if not token.devices:
            yield text, _fate(token), token.evidence
        for ordinal, unit in zip(token.ordinals, token.devices, strict=True):
            yield text, _named(ordinal, unit), token.evidence


def _fate(token: Token) -> str:
    if token.status == "ends":
        return f"ends the list: {token.reason}" if token.reason else "ends the list"
    if token.status == "repeats":
        return token.reason
    return f"{token.status}, {token.reason}"


def _named(ordinal: int, unit: AnyDevice) -> str:
    return f"cuda:{ordinal:<3} GPU {unit.index}  {_clipped(unit.short_name, 20)}  {unit.uuid[:_UUID_SHOWN]}…"


def _alternatives(visibility: Visibility) -> Iterator[str]:
    rows = [BY_ROW[row] for row in visibility.unsettled_rows]
    outcomes = visibility.admissible
    yield f"Not settled: the evidence allows {len(outcomes)} outcomes"
    for number, outcome in enumerate(outcomes[:_MOST_OUTCOMES]):
        yield _clipped(f"  {_listed(outcome)}{'   (assumed here)' if number == 0 else ''}", _WIDTH)
    if len(outcomes) > _MOST_OUTCOMES:
        yield f"  and {len(outcomes) - _MOST_OUTCOMES} more"
    for rule in rows:
        yield _clipped(f"  row {rule.row}, {rule.form}: {rule.strength}".replace("`", ""), _WIDTH)


def _listed(outcome: Units) -> str:
    return ", ".join(label(unit) for unit in outcome) or "no device"


def _printable(text: str) -> str:
    """A token on one line: escaped where a terminal cannot show it, quoted where spaces would be lost."""
    shown = _clipped(text, _TOKEN_WIDTH)
    plain = shown.isprintable() and shown == shown.strip() and shown
    return shown if plain else _clipped(ascii(shown), _TOKEN_WIDTH)


def _clipped(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


# The page of the documentation.

_SECTIONS = (
    ("The list", "1", "27"),
    ("Multi-instance GPUs", "28", "33"),
    ("Order, time, inheritance, composition", "34", "44"),
)

_INTRODUCTION = """# What CUDA_VISIBLE_DEVICES means

<!-- Generated from pytest_gpuvisibility/masks/rules.py by `python -m pytest_gpuvisibility.masks.explain`.
     Do not edit. -->

`gpu-visibility resolve VALUE` explains a value by these rows, and `pytest_gpuvisibility.resolve` does it in
Python. No row was run on a real driver for this project: each rests on the sources it names. Where a row is
not settled, the resolver gives every outcome that the evidence allows, and no server fails for choosing one
of them; the first outcome in each list below is the one that the simulated driver shows.

How sure a row is, from the surest to a guess:

"""

_KINDS = {
    Strength.DOCUMENTED: "NVIDIA says so",
    Strength.HARDWARE: "somebody published a run on a real driver",
    Strength.SOURCE: "read in the open source of the thing itself",
    Strength.REIMPLEMENTED: "programs that imitate CUDA do it so",
    Strength.INFERRED: "follows from other rows, or is folklore",
    Strength.UNKNOWN: "nobody knows, or sources contradict each other",
}


def page() -> str:
    """``docs/cuda-visible-devices.md``."""
    kinds = "\n".join(f"- **{kind.value}**: {meaning}" for kind, meaning in _KINDS.items())
    sections = "\n\n".join(_section(title, _between(first, last)) for title, first, last in _SECTIONS)
    sources = "\n".join(f"- `{key}`: {text}" for key, text in SOURCES.items())
    return f"{_INTRODUCTION}{kinds}\n\n{sections}\n\n## Sources\n\n{sources}\n"


def _between(first: str, last: str) -> tuple[Row, ...]:
    rows = [rule.row for rule in RULES]
    return RULES[rows.index(first) : rows.index(last) + 1]


def _section(title: str, rules: Iterable[Row]) -> str:
    return f"## {title}\n\n" + "\n\n".join(_rule(rule) for rule in rules)


def _rule(rule: Row) -> str:
    sources = ", ".join(f"`{key}`" for key in rule.sources)
    settled = "" if rule.settled else "; not settled"
    heading = f"### {rule.row}: {rule.form}\n\n{rule.meaning}\n\n"
    evidence = f"Evidence: {rule.strength}{settled}.{f' Sources: {sources}.' if sources else ''}"
    if not rule.examples:
        return heading + evidence
    lines = "\n".join(_example(example) for example in rule.examples)
    return f"{heading}{evidence}\n\n| value | on | CUDA sees |\n|---|---|---|\n{lines}"


class _Uuid:
    """A UUID in an example: by name, or where only its beginning is meant, as it is."""

    def __init__(self, unit: AnyDevice) -> None:
        self.unit = unit

    def __format__(self, spec: str) -> str:
        return format(self.unit.uuid, spec) if spec else f"<UUID of {label(self.unit)}>"


def _example(example: Example) -> str:
    inventory = Inventory.load(example.inventory)
    where = [f"`{example.inventory}`"]
    where += [f"order `{example.order}`"] if example.order else []
    where += [f"driver {example.driver}"] if example.driver else []
    sees = " or ".join(_sees(units) for units in (example.expect, *example.also))
    return f"| {_value(example.mask, inventory)} | {', '.join(where)} | {sees} |"


def _value(mask: str | None, inventory: Inventory) -> str:
    if mask is None:
        return "unset"
    text = mask.format(*(_Uuid(unit) for unit in inventory.units)) if "{" in mask else mask
    shown = ascii(text)[1:-1] if text.strip() != text or not text else text
    return f"`{_clipped(shown, 60)}`" if shown.strip() else f'`"{shown}"`'


def _sees(units: tuple[str, ...]) -> str:
    return " ".join(units) or "nothing"


if __name__ == "__main__":
    print(page(), end="")
