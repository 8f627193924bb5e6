"""The report of a run as plain data: what stands in a JSON report, and what every other form is made of.

``report.schema.json`` describes the same for others. UUIDs name devices; seconds count from the launch.
"""

from __future__ import annotations

from typing import TypedDict

SCHEMA = 3
"""The version of the format that this release writes and reads."""


class SliceEntry(TypedDict):
    uuid: str
    gpu_instance: int
    compute_instance: int


class DeviceEntry(TypedDict):
    index: int
    uuid: str
    name: str
    pci_bus_id: str
    minor: int
    relative_speed: float
    mig_enabled: bool
    mig: list[SliceEntry]


class MachineEntry(TypedDict):
    """The one machine of a whole run, where there was one."""

    simulated: bool
    driver_version: str
    cuda_version: str
    devices: list[DeviceEntry]


class ProcessEntry(TypedDict):
    """``observed``: what else the witness said of it, by the name of the observation."""

    pid: int
    ppid: int
    role: str
    group: int | None
    argv: list[str]
    permitted: list[str]
    touched: list[str]
    shown: list[str] | None
    evidence: str
    cuda_visible_devices: str | None
    cuda_device_order: str | None
    observed: dict[str, object]


class EventEntry(TypedDict):
    seconds: float
    kind: str
    text: str
    until: float | None


class _LaunchEntry(TypedDict):
    key: str
    summary: str
    inventory: str
    visible: str | None
    device_order: str | None
    layout: str
    settings: dict[str, object]
    command: list[str]
    reproduce: str
    ending: str
    outcome: str
    seconds: float
    exit_code: int | None
    permitted: list[str]
    survivors: list[str]
    requests: dict[str, str]
    observed: dict[str, object]
    events: list[EventEntry]
    processes: list[ProcessEntry]
    beside: list[LaunchEntry]


class LaunchEntry(_LaunchEntry, total=False):
    """One launch. ``settings``: every field of the scenario; ``observed``: what else was seen, by name.

    ``stdout``, ``stderr``: the end of what the server wrote, where the rule does not pass.
    """

    stdout: str
    stderr: str


class AnswerEntry(TypedDict):
    """What the CUDA driver showed under a mask."""

    visible: str | None
    device_order: str | None
    result: int
    devices: list[str]
    admissible: list[list[str]]


class RuleEntry(TypedDict):
    """``scenarios`` are the launches, ``answers`` the driver's answers, that the verdict rests on.

    ``evidence``: what is known of the workers of these launches, the weakest last (``touched``, ``probed`` …); empty
    where none of them had a worker.
    """

    id: str
    level: str
    verdict: str
    summary: str
    explanation: str
    headline: str
    facts: list[str]
    known: bool
    sources: list[str]
    reproduce: str
    evidence: list[str]
    scenarios: list[LaunchEntry]
    answers: list[AnswerEntry]


class ToolEntry(TypedDict):
    name: str
    version: str


class ServerEntry(TypedDict):
    """``source``: what was given for --gpu-server."""

    name: str
    version: str
    url: str
    source: str


class _Document(TypedDict):
    schema: int
    created: str
    tool: ToolEntry
    server: ServerEntry
    inventory: str
    inventories: list[str]
    simulated: bool
    machines: dict[str, list[DeviceEntry]]
    catalogue: int
    conclusion: str
    rules: list[RuleEntry]


class Document(_Document, total=False):
    """A whole report. ``machines``: the devices of every machine that was used, by its name. ``catalogue``: how many
    rules the suite has for such a subject, whether or not they were asked. ``conclusion``: see ``suite.Conclusion``.
    """

    machine: MachineEntry
