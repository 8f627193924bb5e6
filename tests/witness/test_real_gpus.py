"""The suite on a machine's own GPUs: proven inside a simulated machine, which it takes for the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from places import PROGRAMS
from simulated_programs import python
from twin_runs import profile_of

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.inventory import check_caller

GPU_VISIBILITY = [sys.executable, "-m", "pytest_gpuvisibility"]


def nested(inventory: str, *command: str, visible: str | None = None) -> subprocess.CompletedProcess[str]:
    """``gpu-visibility run`` of a command, which finds a driver as on a real machine."""
    environ = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    mask = [] if visible is None else ["--visible", visible]
    run = [*GPU_VISIBILITY, "run", "--inventory", inventory, *mask, "--", *command]
    return subprocess.run(run, env=environ, capture_output=True, text=True, check=False, timeout=300)


def judged(fault: str, directory: Path, *rules: str, machine: str = "a100x4") -> dict[str, Any]:
    """The report of the twin with this fault, on the GPUs of a machine that is as good as real."""
    report = directory / "report.json"
    chosen = [rule if rule.startswith("-") else f"--gpu-rule={rule}" for rule in rules]
    options = ["--gpu-inventory=real", f"--gpu-report={report}", "-n2", *chosen]
    run = nested(machine, *GPU_VISIBILITY, "check", str(profile_of(fault, directory)), *options)
    assert report.exists(), run.stdout + run.stderr
    document: dict[str, Any] = json.loads(report.read_text())
    return document


def test_the_correct_server_passes_on_what_nvml_lists(tmp_path: Path) -> None:
    document = judged("none", tmp_path, "VIS-00[1457]", "OVR-00[135]", "ASN-001", "LIF-002", "IDN-006", "CTR-004")
    verdicts = {rule["id"]: rule["verdict"] for rule in document["rules"]}
    needs_another_machine = {"IDN-006", "CTR-004"}
    assert {id for id, verdict in verdicts.items() if verdict == "does-not-apply"} == needs_another_machine
    assert {verdict for id, verdict in verdicts.items() if id not in needs_another_machine} == {"pass"}
    assert document["simulated"] is False
    assert [device["index"] for device in document["machines"]["real"]] == [0, 1, 2, 3]
    [masked] = [rule for rule in document["rules"] if rule["id"] == "VIS-001"]
    workers = [process for process in masked["scenarios"][0]["processes"] if process["role"] == "worker"]
    assert [(worker["evidence"], len(worker["touched"])) for worker in workers] == [("touched", 1)] * 2
    reasons = {rule["id"]: rule["headline"] for rule in document["rules"]}
    assert reasons["IDN-006"] == "needs a machine like the inventory mixed4; this run is on the machine's own GPUs"


@pytest.mark.parametrize("rule", ["VIS-001", "VIS-002", "VIS-004", "OVR-003"])
def test_a_twin_fails_its_rule_on_what_nvml_lists(rule: str, tmp_path: Path) -> None:
    # Eight GPUs: the twin of VIS-001 miscounts only where there are more than two workers, to pass the rules for two.
    [found] = judged(rule.lower(), tmp_path, rule, machine="a100x8")["rules"]
    assert found["verdict"] == "fail", found
    assert found["headline"]


def test_a_third_partys_witness_is_believed_on_real_gpus_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROGRAMS / "plugins"))
    monkeypatch.chdir(tmp_path)
    [found] = judged("none", tmp_path, "VIS-001", "-pblaming")["rules"]
    assert (found["verdict"], found["headline"]) == ("fail", "takes GPUs it was not given"), found
    control = 1
    assert len(Path("closed").read_text().splitlines()) == control + len(found["scenarios"])


def test_a_machine_of_unequal_gpus_serves_the_rules_that_need_one(tmp_path: Path) -> None:
    """NVML lists the slowest of them first, CUDA the fastest."""
    [found] = judged("idn-006", tmp_path, "IDN-006", machine="mixed4")["rules"]
    assert found["verdict"] == "fail", found
    verdicts = {
        rule["id"]: rule["verdict"] for rule in judged("none", tmp_path, "IDN-00[67]", machine="mixed4")["rules"]
    }
    assert verdicts == {"IDN-006": "pass", "IDN-007": "pass"}


def test_a_caller_who_was_given_a_part_of_the_machine_is_refused(tmp_path: Path) -> None:
    profile = profile_of("none", tmp_path)
    run = nested("a100x4", *GPU_VISIBILITY, "check", str(profile), "--gpu-inventory=real", visible="1,2")
    assert run.returncode == 4
    assert "CUDA_VISIBLE_DEVICES=1,2 is set" in run.stderr
    assert "Traceback" not in run.stderr


def test_without_a_driver_there_is_no_real_machine(tmp_path: Path) -> None:
    run = nested("none", *GPU_VISIBILITY, "check", str(profile_of("none", tmp_path)), "--gpu-inventory=real", "-n0")
    assert run.returncode == 4
    assert "Traceback" not in run.stdout + run.stderr


def watched(inventory: str, *masks: tuple[str | None, str | None]) -> list[list[Any]]:
    """What the witness says of processes: the mask at exec, and the one set afterwards. Without the latter, the
    process initialises CUDA and opens nothing.
    """
    run = nested(inventory, *python("witness/watching.py", json.dumps(masks)))
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_touched_is_what_the_driver_listed_and_outlives_the_process() -> None:
    uuids = [device.uuid for device in Inventory.load("a100x4").devices]
    listed, idle, masked_later = watched("a100x4", ("3,1", "3,1"), ("2", None), ("3,1", "2"))
    assert listed == ["touched", [uuids[3]], [uuids[3], uuids[1]], True]
    assert idle == ["probed", [], [uuids[2]], True]
    # /proc shows the environment at exec only: what the probe says of this process is wrong, and therefore not said.
    assert masked_later == ["touched", [uuids[2]], None, True]


def test_a_context_on_a_slice_is_told_from_one_beside_it() -> None:
    slices = [part.uuid for device in Inventory.load("mig").devices for part in device.mig]
    accounts = watched("mig", *((uuid, uuid) for uuid in slices))
    assert accounts == [["touched", [uuid], [uuid], True] for uuid in slices]


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ("real", "on each of the 4 devices that it opened"),
        ("pids of another namespace", "pids that /proc does not know"),
        ("an empty list", "its list does not have it"),
    ],
    ids=["listed", "pids of another namespace", "an empty list"],
)
def test_an_empty_list_is_no_proof(lists: str, said: str) -> None:
    run = nested("a100x4", *python("witness/attribution.py", lists))
    assert run.returncode == 0, run.stderr
    assert said in run.stdout
    assert ("--pid=host" in run.stdout) == (lists != "real")


def test_the_mask_of_the_caller_is_named() -> None:
    with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES=0 is set"):
        check_caller({"CUDA_VISIBLE_DEVICES": "0"})
    check_caller({})
