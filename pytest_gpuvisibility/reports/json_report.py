"""The JSON report of a conformance run; its schema is ``report.schema.json`` beside this module."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError

SCHEMA = Path(__file__).parent / "report.schema.json"


def check_paths(paths: Iterable[str]) -> None:
    """Better said before the run than after.

    :raises UserError: a report cannot be written there, or not in that format.
    """
    for path in map(Path, paths):
        if path.suffix != ".json":
            raise UserError(
                f"--gpu-report={path}: the ending says the format, and only .json is known. Give a name that ends in"
                " .json."
            )
        if not path.absolute().parent.is_dir():
            raise UserError(
                f"--gpu-report={path}: there is no directory {path.absolute().parent}. Create it, or write elsewhere."
            )


def document(trial: Any) -> dict[str, Any]:
    """The report as plain data."""
    subject = trial.subject
    launches, answers = subject.launches(), subject.answers()
    used = {launch.inventory for launch in launches.values()} if launches else {subject.inventory}
    report: dict[str, Any] = {
        "schema": 1,
        "server": {"name": subject.name, "version": subject.version, "url": subject.url},
        "inventory": subject.inventory,
        "inventories": sorted(used),
        "rules": [_rule(result, launches, answers) for _, result in sorted(trial.results.items())],
    }
    if subject.hardware is not None:
        report["machine"] = _machine(subject.hardware, subject.simulated)
    return report


def _rule(result: Any, launches: Mapping[str, Any], answers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": result.rule.id,
        "level": result.rule.level.value,
        "verdict": result.verdict.value,
        "summary": result.rule.summary,
        "headline": result.headline,
        "facts": list(result.facts),
        "known": result.known,
        "sources": list(result.rule.sources),
        "scenarios": [_scenario(launches[key]) for key in result.scenarios if key in launches],
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


def _scenario(fleet: Any) -> dict[str, Any]:
    scenario = fleet.scenario
    return {
        "inventory": scenario.inventory,
        "visible": scenario.visible,
        "device_order": scenario.device_order,
        "layout": scenario.layout if scenario.layout is not None else f"{scenario.groups}x{scenario.devices}",
        "command": list(fleet.command),
        "ending": scenario.ending,
        "outcome": fleet.outcome,
        "seconds": round(fleet.seconds, 3),
        "exit_code": fleet.final_exit_code,
        "survivors": list(fleet.survivors),
        "processes": [_process(process, fleet.permitted) for process in fleet.processes],
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
    }


def write(path: Path, trial: Any) -> None:
    """Write the report whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        draft.write_text(json.dumps(document(trial), indent=2) + "\n", encoding="utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
