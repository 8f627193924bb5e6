"""What the value of a profile's key can be: how it is read from TOML, what it is called, and its JSON Schema."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Json = Mapping[str, object]


@dataclass(frozen=True)
class Kind:
    """``read`` makes the value of a field of what stands in the file.

    It raises TypeError for what is not of this kind, and ``re.error``.
    """

    words: str
    schema: Json
    read: Callable[[object], object]


def _exactly(kind: type) -> Callable[[object], object]:
    def read(value: object) -> object:
        if type(value) is not kind:
            raise TypeError
        return value

    return read


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise TypeError
    return float(value)


def _pattern(value: object) -> re.Pattern[str]:
    if not isinstance(value, str):
        raise TypeError
    return re.compile(value)


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise TypeError
    return tuple(value)


def _table(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(word, str) for word in value.values()):
        raise TypeError
    return dict(value)


TEXTS = Kind("a list of strings", {"type": "array", "items": {"type": "string"}}, _texts)
_KINDS: Mapping[object, Kind] = {
    str: Kind("a string", {"type": "string"}, _exactly(str)),
    bool: Kind("true or false", {"type": "boolean"}, _exactly(bool)),
    int: Kind("a whole number", {"type": "integer"}, _exactly(int)),
    float: Kind("a number of seconds above 0", {"type": "number", "exclusiveMinimum": 0}, _seconds),
    re.Pattern: Kind("a regular expression in a string", {"type": "string", "format": "regex"}, _pattern),
    tuple: TEXTS,
    Mapping: Kind("a table of strings", {"type": "object", "additionalProperties": {"type": "string"}}, _table),
}


def without_none(hint: object) -> object:
    """A type for a field that may be left out: what it is where it is there."""
    if isinstance(hint, types.UnionType):
        [hint] = [part for part in typing.get_args(hint) if part is not types.NoneType]
    return hint


def kind_of(hint: object) -> Kind:
    """That of a field's type.

    :raises KeyError: no key of a profile is of such a type.
    """
    hint = without_none(hint)
    return _KINDS[typing.get_origin(hint) or hint]
