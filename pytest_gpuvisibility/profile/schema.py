"""The JSON Schema of profiles, for editors: the classes of :mod:`.tables` and the template's comments.

``python -m pytest_gpuvisibility.profile.schema`` prints it; the printed text ships as ``profile.schema.json``.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

from ..policies import KERNEL_LAUNCH_POLICIES
from . import tables, template
from .kinds import TEXTS, kind_of, without_none

SCHEMA = Path(__file__).with_name("profile.schema.json")
DIALECT = "https://json-schema.org/draft/2020-12/schema"
TABLES = {
    "product": tables.Product,
    "server": tables.Server,
    "workers": tables.Workers,
    "supports": tables.Supports,
    "reports": tables.Reports,
    "unsupported": tables.Unsupported,
}
CHOICES = {
    "server.launch": KERNEL_LAUNCH_POLICIES,
    "server.ready.kind": tables.READY_KINDS,
    "server.request.kind": tables.REQUEST_KINDS,
    "supports.device_flag": tables.DEVICE_FLAGS,
}
LIKE_REQUEST = ("server.unload", "server.load", "server.second_model")
"""Tables with the keys of ``server.request``, which the template explains there only."""


def schema() -> dict[str, Any]:
    """The schema as plain data."""
    said = dict(template.explanations())
    found = {name: _table(kind, name, said) for name, kind in TABLES.items()}
    found["unsupported"] = {"type": "array", "items": found["unsupported"]}
    return {
        "$schema": DIALECT,
        "title": "Profile of a server for gpu-visibility",
        "type": "object",
        "required": ["product", "server"],
        "additionalProperties": False,
        "properties": found,
    }


def as_text() -> str:
    """The file's text."""
    return json.dumps(schema(), indent=2) + "\n"


def _table(kind: type[Any], where: str, said: dict[str, str]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    required = [
        entry.name
        for entry in fields
        if entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
    ]
    table: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {entry.name: _value(hints[entry.name], f"{where}.{entry.name}", said) for entry in fields},
    }
    if required:
        table["required"] = required
    return _described(table, where, said)


def _value(kind: Any, where: str, said: dict[str, str]) -> dict[str, Any]:
    kind = without_none(kind)
    if dataclasses.is_dataclass(kind):
        return _table(typing.cast("type[Any]", kind), where, said)
    if where == "server.options":
        names = {name: _described(dict(TEXTS.schema), f"{where}.{name}", said) for name in tables.OPTIONS}
        return _described({"type": "object", "additionalProperties": False, "properties": names}, where, said)
    value = dict(kind_of(kind).schema)
    for tail in LIKE_REQUEST:
        where = where.replace(f"{tail}.", "server.request.")
    if where in CHOICES:
        value["enum"] = list(CHOICES[where])
    return _described(value, where, said)


def _described(value: dict[str, Any], where: str, said: dict[str, str]) -> dict[str, Any]:
    return {"description": said[where], **value} if said.get(where) else value


if __name__ == "__main__":
    print(as_text(), end="")
