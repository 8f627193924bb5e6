"""Records as plain data, which JSON can carry, and back into the very types that were written."""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from typing import TypeAlias, TypeVar

Plain: TypeAlias = "bool | int | float | str | Sequence[Plain] | Mapping[str, Plain] | None"
T = TypeVar("T")
_Decoder: TypeAlias = Callable[[object, str], object]

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", types.NoneType: "null"}


class NotPlain(ValueError):
    """Data that no record could have been written as; the message says where, what is there, and what should be."""


def to_plain(value: object) -> Plain:
    """A record, or anything made of records, as plain data; sets become sorted lists."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(value.value) if isinstance(value, enum.Enum) else value
    if dataclasses.is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(part) for key, part in value.items()}
    if isinstance(value, Set):
        return [to_plain(part) for part in sorted(value)]
    if isinstance(value, Sequence):
        return [to_plain(part) for part in value]
    raise TypeError(f"{value!r} has no form as plain data")


def from_plain(kind: type[T], data: object, where: str = "") -> T:
    """The inverse of :func:`to_plain`: an instance of ``kind``, a dataclass or a TypedDict, also nested ones.

    What ``kind`` does not know is left out.

    :param where: what messages call the whole.
    :raises NotPlain: ``data`` lacks something, or has it wrong.
    """
    return typing.cast("T", _decoder(typing.cast("Hashable", kind))(data, where))


@functools.cache
def _decoder(kind: object) -> _Decoder:
    if kind is object:
        return lambda data, where: data
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _one_of([_decoder(part) for part in arguments])
    if origin is typing.Literal:
        return _choice(arguments, " or ".join(map(repr, arguments)))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _row([_decoder(part) for part in arguments])
    if origin in (tuple, list, frozenset):
        return _several(origin, _decoder(arguments[0]))
    if origin in (dict, Mapping):
        return _table(_decoder(arguments[1]))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        values = tuple(member.value for member in kind)
        check = _choice(values, " or ".join(map(repr, values)))
        return lambda data, where: kind(check(data, where))
    if dataclasses.is_dataclass(kind) or typing.is_typeddict(kind):
        return _record(typing.cast("type", kind))
    return _simple(typing.cast("type", kind))


def _wrong(data: object, where: str, wanted: str) -> NotPlain:
    return NotPlain(f"{where or 'it'} is {repr(data)[:60]}, not {wanted}")


def _simple(kind: type) -> _Decoder:
    def decode(data: object, where: str) -> object:
        if type(data) is kind:
            return data
        if kind is float and type(data) is int:
            return float(data)
        raise _wrong(data, where, _WORDS[kind])

    return decode


def _choice(values: Sequence[object], words: str) -> _Decoder:
    def decode(data: object, where: str) -> object:
        if data not in values:
            raise _wrong(data, where, words)
        return data

    return decode


def _one_of(decoders: Sequence[_Decoder]) -> _Decoder:
    def decode(data: object, where: str) -> object:
        problems = []
        for decoder in decoders:
            try:
                return decoder(data, where)
            except NotPlain as problem:
                problems.append(problem)
        # Where something deeper is wrong, that says more than that the whole is none of all kinds.
        raise max(problems, key=lambda problem: len(str(problem).split(" is ", 1)[0]))

    return decode


def _row(decoders: Sequence[_Decoder]) -> _Decoder:
    def decode(data: object, where: str) -> object:
        if not isinstance(data, (list, tuple)) or len(data) != len(decoders):
            raise _wrong(data, where, f"a list of {len(decoders)}")
        pairs = zip(decoders, data, strict=True)
        return tuple(decoder(part, f"{where}[{place}]") for place, (decoder, part) in enumerate(pairs))

    return decode


def _several(kind: Callable[[Sequence[object]], object], decoder: _Decoder) -> _Decoder:
    def decode(data: object, where: str) -> object:
        if not isinstance(data, (list, tuple)):
            raise _wrong(data, where, "a list")
        return kind([decoder(part, f"{where}[{place}]") for place, part in enumerate(data)])

    return decode


def _table(decoder: _Decoder) -> _Decoder:
    def decode(data: object, where: str) -> object:
        if not isinstance(data, dict):
            raise _wrong(data, where, "a table")
        return {key: decoder(part, f"{where}.{key}") for key, part in data.items()}

    return decode


def _record(kind: type) -> _Decoder:
    @functools.cache
    def fields() -> tuple[dict[str, _Decoder], frozenset[str]]:
        """Asked at the first use: a record may have itself among its parts."""
        hints = typing.get_type_hints(kind)
        if typing.is_typeddict(kind):
            return {name: _decoder(hint) for name, hint in hints.items()}, kind.__required_keys__  # type: ignore[attr-defined]
        known = dataclasses.fields(kind)
        required = {
            field.name
            for field in known
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        }
        return {field.name: _decoder(hints[field.name]) for field in known}, frozenset(required)

    def decode(data: object, where: str) -> object:
        if not isinstance(data, dict):
            raise _wrong(data, where, "a table")
        decoders, required = fields()
        if missing := required - data.keys():
            raise NotPlain(f"{where or 'it'} lacks {', '.join(sorted(missing))}")
        prefix = f"{where}." if where else ""
        return kind(**{name: decoders[name](part, prefix + name) for name, part in data.items() if name in decoders})

    return decode
