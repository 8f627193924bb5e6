"""The report of a conformance run as data; its schema is ``report.schema.json`` beside this module."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path

from ..inventory import Device, Inventory
from ..plain import from_plain, to_plain
from ..records import Event, Evidence, LaunchRecord, MaskAnswer, ProcessRecord
from ..suite import RuleResult, Subject, Trial, Verdict, conclude
from . import reproduce
from .document import (
    SCHEMA,
    AnswerEntry,
    DeviceEntry,
    Document,
    EventEntry,
    LaunchEntry,
    MachineEntry,
    ProcessEntry,
    RuleEntry,
)

SCHEMA_FILE = Path(__file__).parent / "report.schema.json"
LAUNCH_AS_WRITTEN = {
    *("scenario", "command", "permitted", "began", "outcome", "seconds", "exit_code", "processes", "requests"),
    *("final_exit_code", "survivors", "stdout", "stderr", "events", "beside", "environ"),
}
"""Fields of a record that have a place of their own; all others are in ``observed`` under their own names."""
ACCOUNT_AS_WRITTEN = {"evidence", "touched", "shown", "visible", "device_order", "ppid"}
"""The same of an account."""


def document(trial: Trial) -> Document:
    """The report as plain data: what a reader of the file gets."""
    subject = trial.subject
    launches, answers = subject.launches(), subject.answers()
    used = {launch.inventory for launch in launches.values()} if launches else {subject.inventory}
    report = Document(
        schema=SCHEMA,
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        tool={"name": "pytest-gpuvisibility", "version": importlib.metadata.version("pytest-gpuvisibility")},
        server={"name": subject.name, "version": subject.version, "url": subject.url, "source": subject.source},
        inventory=subject.inventory,
        inventories=sorted(used),
        simulated=subject.simulated,
        machines={name: [_device(device) for device in subject.machine(name).devices] for name in sorted(used)},
        catalogue=len(trial.catalogue),
        conclusion=conclude([result.verdict for result in trial.results.values()], len(trial.catalogue)).value,
        rules=[_rule(trial, result, launches, answers) for _, result in sorted(trial.results.items())],
    )
    if subject.hardware is not None:
        report["machine"] = _machine(subject.hardware, subject.simulated)
    return from_plain(Document, to_plain(report))


def as_text(document: Document) -> str:
    """The file's text."""
    return json.dumps(document, indent=2) + "\n"


def _rule(
    trial: Trial, result: RuleResult, launches: Mapping[str, LaunchRecord], answers: Mapping[str, MaskAnswer]
) -> RuleEntry:
    in_full = result.verdict is not Verdict.PASS
    return RuleEntry(
        id=result.rule.id,
        level=result.rule.level.value,
        verdict=result.verdict.value,
        summary=result.rule.summary,
        explanation=result.rule.explanation,
        headline=result.headline,
        facts=list(result.facts),
        known=result.known,
        sources=list(result.rule.sources),
        reproduce=reproduce.check_command(trial.subject, result.rule.id),
        evidence=_evidence([launches[key] for key in result.scenarios if key in launches]),
        scenarios=[_launch(key, launches[key], trial.subject, in_full) for key in result.scenarios if key in launches],
        answers=[_answer(answers[key]) for key in result.scenarios if key in answers],
    )


def _evidence(launches: Iterable[LaunchRecord]) -> list[str]:
    found = {worker.evidence for launch in launches for worker in launch.workers}
    return [kind.value for kind in Evidence if kind in found]


def _answer(answer: MaskAnswer) -> AnswerEntry:
    return AnswerEntry(
        visible=answer.query.visible,
        device_order=answer.query.device_order,
        result=answer.result,
        devices=list(answer.devices),
        admissible=[list(devices) for devices in answer.admissible],
    )


def _machine(inventory: Inventory, simulated: bool) -> MachineEntry:
    return MachineEntry(
        simulated=simulated,
        driver_version=inventory.driver_version,
        cuda_version=inventory.cuda_version,
        devices=[_device(device) for device in inventory.devices],
    )


def _device(device: Device) -> DeviceEntry:
    return DeviceEntry(
        index=device.index,
        uuid=device.uuid,
        name=device.name,
        pci_bus_id=device.pci_bus_id,
        minor=device.minor,
        relative_speed=device.relative_speed,
        mig_enabled=device.mig_enabled,
        mig=[
            {"uuid": unit.uuid, "gpu_instance": unit.gpu_instance, "compute_instance": unit.compute_instance}
            for unit in device.mig
        ],
    )


def _launch(key: str, record: LaunchRecord, subject: Subject, in_full: bool) -> LaunchEntry:
    scenario = record.scenario
    entry = LaunchEntry(
        key=key,
        summary=scenario.describe(),
        inventory=scenario.inventory,
        visible=scenario.visible,
        device_order=scenario.device_order,
        layout=scenario.layout if scenario.layout is not None else f"{scenario.groups}x{scenario.devices}",
        settings=_fields(scenario),
        command=list(record.command),
        reproduce=reproduce.launch_command(record, subject),
        ending=scenario.ending,
        outcome=record.outcome,
        seconds=round(record.seconds, 3),
        exit_code=record.final_exit_code,
        permitted=list(record.permitted),
        survivors=list(record.survivors),
        requests=dict(record.requests),
        observed=_fields(record, LAUNCH_AS_WRITTEN),
        events=[_event(event) for event in record.events],
        processes=[_process(process, record.permitted) for process in record.processes],
        beside=_beside(key, record.beside, subject, in_full),
    )
    if in_full:
        entry["stdout"], entry["stderr"] = record.stdout, record.stderr
    return entry


def _beside(key: str, others: Sequence[LaunchRecord], subject: Subject, in_full: bool) -> list[LaunchEntry]:
    return [_launch(f"{key}-{place}", other, subject, in_full) for place, other in enumerate(others)]


def _fields(record: object, written: Set[str] = frozenset()) -> dict[str, object]:
    """The fields of a dataclass that are not ``written`` elsewhere."""
    fields = dataclasses.fields(record)  # type: ignore[arg-type]
    return {field.name: getattr(record, field.name) for field in fields if field.name not in written}


def _event(event: Event) -> EventEntry:
    return EventEntry(
        seconds=round(event.seconds, 3),
        kind=event.kind,
        text=event.text,
        until=None if event.until is None else round(event.until, 3),
    )


def _process(process: ProcessRecord, permitted: Iterable[str]) -> ProcessEntry:
    account = process.account
    return ProcessEntry(
        pid=process.pid,
        ppid=process.ppid,
        role=process.role,
        group=process.group,
        argv=list(process.argv),
        permitted=list(permitted),
        touched=list(process.touched),
        shown=None if process.shown is None else list(process.shown),
        evidence=process.evidence.value,
        cuda_visible_devices=account.visible,
        cuda_device_order=account.device_order,
        observed=_fields(account, ACCOUNT_AS_WRITTEN),
    )
