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
    """:raises UserError: a report cannot be written there, or not in that format; better said before the run than after."""
    for path in map(Path, paths):
        if path.suffix != ".json":
            raise UserError(f"--gpu-report={path}: the ending says the format, and only .json is known. Give a name that ends in .json.")
        if not path.absolute().parent.is_dir():
            raise UserError(f"--gpu-report={path}: there is no directory {path.absolute().parent}. Create it, or write elsewhere.")


def document(trial: Any, fleets: Mapping[str, Any]) -> dict[str, Any]:
    """The report as plain data."""
    product = trial.profile.product
    return {
        "schema": 1,
        "server": {"name": product.name, "version": trial.version, "url": product.url},
        "inventory": trial.inventory,
        "inventories": sorted({fleet.scenario.inventory for fleet in fleets.values()}),
        "rules": [_rule(result, fleets) for _, result in sorted(trial.results.items())],
    }


def _rule(result: Any, fleets: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": result.rule.id,
        "level": result.rule.level.value,
        "verdict": result.verdict.value,
        "summary": result.rule.summary,
        "headline": result.headline,
        "facts": list(result.facts),
        "known": result.known,
        "sources": list(result.rule.sources),
        "scenarios": [_scenario(fleets[key]) for key in result.scenarios if key in fleets],
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


def write(path: Path, trial: Any, fleets: Mapping[str, Any]) -> None:
    """Write the report whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        draft.write_text(json.dumps(document(trial, fleets), indent=2) + "\n", encoding="utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
