"""What the package's types say of a report is what its schema says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_gpuvisibility.reports import document
from pytest_gpuvisibility.reports.json_report import SCHEMA_FILE

SCHEMA = json.loads(SCHEMA_FILE.read_text())
PARTS = SCHEMA["properties"]
RULE = PARTS["rules"]["items"]
LAUNCH = SCHEMA["$defs"]["launch"]


def found(part: dict[str, Any]) -> dict[str, Any]:
    """A part of the schema, or what it refers to."""
    reference = part.get("$ref")
    return SCHEMA["$defs"][reference.rpartition("/")[2]] if reference else part


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        (document.Document, SCHEMA),
        (document.ToolEntry, PARTS["tool"]),
        (document.ServerEntry, PARTS["server"]),
        (document.MachineEntry, PARTS["machine"]),
        (document.RuleEntry, RULE),
        (document.AnswerEntry, RULE["properties"]["answers"]["items"]),
        (document.LaunchEntry, LAUNCH),
        (document.EventEntry, LAUNCH["properties"]["events"]["items"]),
        (document.ProcessEntry, LAUNCH["properties"]["processes"]["items"]),
        (document.DeviceEntry, SCHEMA["$defs"]["devices"]["items"]),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_every_entry_has_the_schemas_keys(entry: Any, part: dict[str, Any]) -> None:
    part = found(part)
    every = entry.__required_keys__ | entry.__optional_keys__
    assert every == set(part["properties"])
    assert entry.__required_keys__ == set(part["required"])
