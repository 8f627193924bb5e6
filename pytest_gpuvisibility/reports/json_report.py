"""The JSON report of a conformance run; its schema is ``report.schema.json`` beside this module."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any

from ..suite.verdicts import Verdict
from . import reproduce

SCHEMA = Path(__file__).parent / "report.schema.json"


def document(trial: Any) -> dict[str, Any]:
    """The report as plain data: what a reader of the file gets."""
    subject = trial.subject
    launches, answers = subject.launches(), subject.answers()
    used = {launch.inventory for launch in launches.values()} if launches else {subject.inventory}
    report: dict[str, Any] = {
        "schema": 1,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "tool": {"name": "pytest-gpuvisibility", "version": importlib.metadata.version("pytest-gpuvisibility")},
        "server": {
            "name": subject.name,
            "version": subject.version,
            "url": subject.url,
            "source": subject.source,
        },
        "inventory": subject.inventory,
        "inventories": sorted(used),
        "simulated": subject.simulated,
        "machines": {name: [_device(device) for device in subject.machine(name).devices] for name in sorted(used)},
        "rules": [_rule(trial, result, launches, answers) for _, result in sorted(trial.results.items())],
    }
    if subject.hardware is not None:
        report["machine"] = _machine(subject.hardware, subject.simulated)
    plain: dict[str, Any] = json.loads(json.dumps(report))
    return plain


def as_text(document: Mapping[str, Any]) -> str:
    """The file's text."""
    return json.dumps(document, indent=2) + "\n"


def _rule(trial: Any, result: Any, launches: Mapping[str, Any], answers: Mapping[str, Any]) -> dict[str, Any]:
    in_full = result.verdict is not Verdict.PASS
    return {
        "id": result.rule.id,
        "level": result.rule.level.value,
        "verdict": result.verdict.value,
        "summary": result.rule.summary,
        "explanation": result.rule.explanation,
        "headline": result.headline,
        "facts": list(result.facts),
        "known": result.known,
        "sources": list(result.rule.sources),
        "reproduce": reproduce.check_command(trial.subject, result.rule.id),
        "scenarios": [
            _scenario(key, launches[key], trial.subject, in_full) for key in result.scenarios if key in launches
        ],
        "answers": [_answer(answers[key]) for key in result.scenarios if key in answers],
    }


def _answer(answer: Any) -> dict[str, Any]:
    return {
        "visible": answer.question.visible,
        "device_order": answer.question.device_order,
        "result": answer.result,
        "devices": list(answer.devices),
        "admissible": [list(devices) for devices in answer.admissible],
    }


def _machine(inventory: Any, simulated: bool) -> dict[str, Any]:
    return {
        "simulated": simulated,
        "driver_version": inventory.driver_version,
        "cuda_version": inventory.cuda_version,
        "devices": [_device(device) for device in inventory.devices],
    }


def _device(device: Any) -> dict[str, Any]:
    return {
        "index": device.index,
        "uuid": device.uuid,
        "name": device.name,
        "pci_bus_id": device.pci_bus_id,
        "minor": device.minor,
        "relative_speed": device.relative_speed,
        "mig_enabled": device.mig_enabled,
        "mig": [
            {"uuid": unit.uuid, "gpu_instance": unit.gpu_instance, "compute_instance": unit.compute_instance}
            for unit in device.mig
        ],
    }


FLEET_AS_WRITTEN = {
    *("scenario", "command", "permitted", "began", "outcome", "seconds", "exit_code", "processes", "requests"),
    *("final_exit_code", "survivors", "stdout", "stderr", "events", "beside", "environ"),
}
"""Fields of a fleet that have a place of their own; all others are in ``observed`` under their own names."""


def _scenario(key: str, fleet: Any, subject: Any, in_full: bool) -> dict[str, Any]:
    scenario = fleet.scenario
    written = {
        "key": key,
        "summary": scenario.describe(),
        "inventory": scenario.inventory,
        "visible": scenario.visible,
        "device_order": scenario.device_order,
        "layout": scenario.layout if scenario.layout is not None else f"{scenario.groups}x{scenario.devices}",
        "settings": dataclasses.asdict(scenario),
        "command": list(fleet.command),
        "reproduce": reproduce.launch_command(fleet, subject.theatre, subject.simulated),
        "ending": scenario.ending,
        "outcome": fleet.outcome,
        "seconds": round(fleet.seconds, 3),
        "exit_code": fleet.final_exit_code,
        "permitted": list(fleet.permitted),
        "survivors": list(fleet.survivors),
        "requests": dict(fleet.requests),
        "observed": _others(fleet, FLEET_AS_WRITTEN),
        "events": [_event(event) for event in fleet.events],
        "processes": [_process(process, fleet.permitted) for process in fleet.processes],
        "beside": [_scenario(f"{key}-{place}", other, subject, in_full) for place, other in enumerate(fleet.beside)],
    }
    if in_full:
        written |= {"stdout": fleet.stdout, "stderr": fleet.stderr}
    return written


def _others(record: Any, written: Set[str]) -> dict[str, Any]:
    """The fields of a dataclass that are not ``written`` elsewhere, as plain data."""
    names = [field.name for field in dataclasses.fields(record) if field.name not in written]
    values = dataclasses.asdict(record)
    return {name: values[name] for name in names}


def _event(event: Any) -> dict[str, Any]:
    return {
        "seconds": round(event.seconds, 3),
        "kind": event.kind,
        "text": event.text,
        "until": None if event.until is None else round(event.until, 3),
    }


PROCESS_AS_WRITTEN = {
    *("pid", "ppid", "role", "group", "argv", "evidence", "touched", "shown", "visible", "device_order"),
}


def _process(process: Any, permitted: Iterable[str]) -> dict[str, Any]:
    return {
        "pid": process.pid,
        "ppid": process.ppid,
        "role": process.role,
        "group": process.group,
        "argv": list(process.argv),
        "permitted": list(permitted),
        "touched": list(process.touched),
        "shown": None if process.shown is None else list(process.shown),
        "evidence": process.evidence.value,
        "cuda_visible_devices": process.visible,
        "cuda_device_order": process.device_order,
        "observed": _others(process, PROCESS_AS_WRITTEN),
    }
