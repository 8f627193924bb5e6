"""The rules for the CUDA driver: the simulated one keeps them all, and a driver that does not is caught."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from places import PROGRAMS
from pytest_gpuvisibility.conformance import catalogue, driver
from pytest_gpuvisibility.conformance.mask_queries import queries_of, row_of
from pytest_gpuvisibility.conformance.masks import Masks
from simulated_programs import c_compiler
from twin_runs import profile_of

from pytest_gpuvisibility import Inventory, resolve
from pytest_gpuvisibility.masks import BY_ROW, Strength
from pytest_gpuvisibility.reports.json_report import SCHEMA_FILE
from pytest_gpuvisibility.resources import shipped_directory
from pytest_gpuvisibility.simulator import library_directory
from pytest_gpuvisibility.suite import DoesNotApply, rule_of

Reports = Callable[[str], dict[str, Any]]

RULES = {rule.id: rule for rule in catalogue("driver")}
TESTS = {rule.id: function for function in vars(driver).values() if (rule := rule_of(function)) is not None}
GPU_VISIBILITY = [sys.executable, "-m", "pytest_gpuvisibility"]
ABOUT_NO_TOKEN = {"1", "10", "24", "27", "28c", "34", "35", "36", "43"}
"""Rows that speak of a whole mask, or of a form that the resolver takes for a number."""
NO_MASK_TO_ASK_UNDER = {"38", "39", "40", "41", "42", "44"}
MUTANT = PROGRAMS / "c" / "mutant_driver.c"
MACHINES_FOR_MUTANTS = ("mixed4", "container", "mig", "mig-550", "uncut")
MACHINES = ("a100x1", "a100x8", "mixed4", "container", "none", "sick8", "mig", "mig-550", "mig-460", "uncut")


def inventory_of(machine: str, directory: Path) -> str:
    """What --gpu-inventory takes: a shipped name, or a file for a variation of the inventory mig."""
    if machine in Inventory.names():
        return machine
    text = (shipped_directory("fixtures") / "inventories" / "mig.toml").read_text()
    if machine == "uncut":
        text = text[: text.index("[[device.mig]]")]
    else:
        text = text.replace("580.95.05", f"{machine.partition('-')[2]}.54")
    path = directory / f"{machine}.toml"
    path.write_text(text)
    return str(path)


def run(directory: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GPU_VISIBILITY, *arguments],
        cwd=directory,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def report_of(directory: Path, *arguments: str, **environ: str) -> dict[str, Any]:
    """The report of a run whose last words are ``check driver`` and ``arguments``."""
    path = directory / "report.json"
    done = run(directory, *arguments, f"--gpu-report={path}", **environ)
    assert path.exists(), done.stdout + done.stderr
    document: dict[str, Any] = json.loads(path.read_text())
    jsonschema.validate(document, json.loads(SCHEMA_FILE.read_text()))
    violated = [rule for rule in document["rules"] if rule["verdict"] in ("fail", "error")]
    assert done.returncode == bool(violated), done.stdout
    return document


def verdicts(document: Mapping[str, Any]) -> dict[str, str]:
    return {rule["id"]: rule["verdict"] for rule in document["rules"]}


def rules_of(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["id"]: rule for rule in document["rules"]}


@pytest.fixture(scope="session")
def on_simulated(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """The report of a run on a machine; one run each."""
    directory = tmp_path_factory.mktemp("simulated")

    @functools.cache
    def judged_on(machine: str) -> dict[str, Any]:
        return report_of(directory, "check", "driver", f"--gpu-inventory={inventory_of(machine, directory)}")

    return judged_on


@pytest.mark.parametrize("machine", MACHINES)
def test_the_simulated_driver_breaks_no_rule(on_simulated: Reports, machine: str) -> None:
    found = verdicts(on_simulated(machine))
    assert set(found) == set(RULES)
    assert set(found.values()) <= {"pass", "does-not-apply"}


def test_what_does_not_apply_says_with_numbers_what_is_missing(on_simulated: Reports) -> None:
    rules = rules_of(on_simulated("a100x1"))
    assert rules["DRV-046"]["headline"] == "needs 2 GPUs; a100x1 has 1"
    assert rules["DRV-041"]["headline"] == "needs 2 MIG slices; a100x1 has 0"
    rules = rules_of(on_simulated("mig"))
    assert rules["DRV-040"]["headline"] == "needs a driver before R570; this is 580.95.05"
    assert rules["DRV-046"]["headline"] == "needs 2 GPUs outside MIG mode; mig has 1"


def test_the_report_names_the_driver_and_its_machine(on_simulated: Reports) -> None:
    document = on_simulated("mig-550")
    assert document["server"]["name"] == "cuda-driver"
    assert document["server"]["version"] == document["machine"]["driver_version"] == "550.54"
    assert document["inventory"] == "mig"
    assert document["machine"]["simulated"] is True
    assert [len(device["mig"]) for device in document["machine"]["devices"]] == [0, 2]


def test_open_rows_record_what_the_driver_did(on_simulated: Reports) -> None:
    document = on_simulated("a100x8")
    first = document["machine"]["devices"][0]["uuid"]
    rule = rules_of(document)["DRV-018"]
    assert "CUDA_VISIBLE_DEVICES=0x1: shows 0; the table allows 0 or 1" in rule["facts"]
    answer = next(answer for answer in rule["answers"] if answer["visible"] == "0x1")
    assert answer["result"] == 0
    assert answer["devices"] == [first] == answer["admissible"][0]
    assert len(answer["admissible"]) == 2


def test_settled_rows_tell_nothing_of_what_is_as_it_should_be(on_simulated: Reports) -> None:
    rules = rules_of(on_simulated("a100x8"))
    assert rules["DRV-006"]["facts"] == []
    assert rules["DRV-006"]["answers"][-1]["visible"] == "0,2,-1,1"


def test_the_end_of_a_run_tells_what_the_evidence_leaves_open(tmp_path: Path) -> None:
    done = run(tmp_path, "check", "driver", "--gpu-inventory=a100x4", "--gpu-rule=DRV-00*", "--gpu-rule=DRV-018")
    assert done.returncode == 0
    assert "cuda-driver 580.95.05 on simulated a100x4: 10 rules," in done.stdout
    assert "10 of 50 rules judged: all pass." in done.stdout
    assert "  DRV-018  CUDA_VISIBLE_DEVICES=0x1: shows 0; the table allows 0 or 1" in done.stdout


def test_pytest_xdist_changes_nothing(tmp_path: Path, on_simulated: Reports) -> None:
    parallel = report_of(tmp_path, "check", "driver", "--gpu-inventory=a100x8", "-n2")
    assert rules_of(parallel) == rules_of(on_simulated("a100x8"))


def test_a_callers_own_mask_is_not_what_is_asked(tmp_path: Path) -> None:
    masked = {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    found = verdicts(report_of(tmp_path, "check", "driver", "--gpu-inventory=mixed4", **masked))
    assert set(found.values()) <= {"pass", "does-not-apply"}


@pytest.mark.parametrize("chosen", [["--gpu-inventory=real"], []], ids=["real", "default"])
def test_the_machines_own_driver_is_asked_where_it_has_gpus(tmp_path: Path, chosen: list[str]) -> None:
    document = report_of(tmp_path, "run", "--inventory", "a100x4", "--", *GPU_VISIBILITY, "check", "driver", *chosen)
    assert document["inventory"] == "real"
    assert document["machine"]["simulated"] is False
    own = Inventory.load("a100x4")
    assert [device["uuid"] for device in document["machine"]["devices"]] == [gpu.uuid for gpu in own.devices]
    found = list(verdicts(document).values())
    assert set(found) == {"pass", "does-not-apply"}
    assert found.count("pass") > 30


def test_a_machine_without_a_driver_says_so(tmp_path: Path) -> None:
    gone = tmp_path / "libnvidia-ml.so.1"
    gone.write_text("no library")
    done = run(tmp_path, "check", "driver", "--gpu-inventory=real", LD_LIBRARY_PATH=str(tmp_path))
    assert done.returncode == 4
    assert "a100x8" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_gpu_that_nobody_can_name_stops_the_trial(tmp_path: Path) -> None:
    """CUDA could name it, but shows only slices where a GPU is in MIG mode."""
    inventory = Path(inventory_of("mig-550", tmp_path))
    inventory.write_text(inventory.read_text().replace("minor = 0\n", 'minor = 0\nfaults = ["nvml-unknown"]\n'))
    done = run(tmp_path, "run", "--inventory", str(inventory), "--", *GPU_VISIBILITY, "check", "driver")
    assert done.returncode == 4
    assert "NVML does not say which GPU 0 is" in done.stderr


def test_rules_for_the_driver_are_not_for_servers(tmp_path: Path) -> None:
    profile = profile_of("none", tmp_path)
    done = run(tmp_path, "check", str(profile), "--collect-only", "-q", "-n0")
    assert "visibility.py::" in done.stdout
    assert "driver.py::" not in done.stdout
    assert "DRV-001 matches no rule" in run(tmp_path, "check", str(profile), "--gpu-rule=DRV-001", "-n0").stderr
    assert "VIS-001 matches no rule" in run(tmp_path, "check", "driver", "--gpu-rule=VIS-001").stderr


def test_the_list_of_rules_has_them_all(tmp_path: Path) -> None:
    listed = json.loads(run(tmp_path, "rules", "--json").stdout)
    assert {rule["id"] for rule in listed} == {rule.id for rule in catalogue()} > set(RULES)


def test_every_row_that_one_mask_can_show_has_one_rule() -> None:
    rows = [row_of(function)[0].row for function in TESTS.values()]
    assert len(set(rows)) == len(rows)
    assert set(BY_ROW) - set(rows) == NO_MASK_TO_ASK_UNDER
    assert list(TESTS) == [f"DRV-{number:03}" for number in range(1, len(rows) + 1)]


@pytest.mark.parametrize("id", TESTS)
def test_a_rule_is_as_binding_as_its_evidence(id: str) -> None:
    row, _ = row_of(TESTS[id])
    seen = {Strength.DOCUMENTED, Strength.HARDWARE} & set(row.evidence)
    assert (RULES[id].level.value == "MUST") == (row.settled and bool(seen))


@pytest.mark.parametrize("id", TESTS)
def test_the_masks_of_a_rule_show_what_its_row_speaks_of(id: str, tmp_path: Path) -> None:
    """The resolver names the row for some token of some mask, or as the reason why there are several outcomes."""
    row, choice = row_of(TESTS[id])
    named: set[str] = set()
    asked = 0
    for machine in MACHINES:
        inventory = Inventory.load(inventory_of(machine, tmp_path))
        try:
            questions = queries_of(row, choice, Masks(inventory))
        except DoesNotApply:
            continue
        asked += len(questions)
        for question in questions:
            visibility = resolve(question.visible, inventory, device_order=question.device_order)
            named |= {token.row for token in visibility.tokens} | set(visibility.unsettled_rows)
    assert asked
    assert row.row in named | ABOUT_NO_TOKEN


# Drivers with a fault.


@pytest.fixture(scope="module")
def mutant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a libcuda.so.1 that is the simulated driver's, but takes one mask for another."""
    directory = tmp_path_factory.mktemp("mutant")
    output = directory / "libcuda.so.1"
    subprocess.run([c_compiler(), "-shared", "-fPIC", "-o", str(output), str(MUTANT), "-ldl"], check=True)
    return directory


def judged(mutant: Path, directory: Path, machine: str, when: str = "*", **fault: str) -> dict[str, Any]:
    """The report on the mutant as a machine's own driver. It errs under the mask ``when``: it reads the mask
    MUTANT_MASK instead, or fails with MUTANT_RESULT, or sees no mask.
    """
    library = f"{mutant}:{library_directory()}"
    fault |= {"MUTANT_OF": str(library_directory() / "libcuda.so.1"), "MUTANT_WHEN": when}
    check = ["env", f"LD_LIBRARY_PATH={library}", *GPU_VISIBILITY, "check", "driver", "--gpu-inventory=real"]
    return report_of(directory, "run", "--inventory", inventory_of(machine, directory), "--", *check, **fault)


def test_every_rule_catches_a_driver_with_a_fault(mutant: Path, tmp_path: Path) -> None:
    faults = [(machine, "*", fault) for machine in MACHINES_FOR_MUTANTS for fault in ({}, {"MUTANT_MASK": "-1"})]
    caught: set[str] = set()
    for machine, when, fault in [*faults, ("a100x1", "GPU-", {"MUTANT_RESULT": "101"})]:
        for id, rule in rules_of(judged(mutant, tmp_path, machine, when, **fault)).items():
            if rule["verdict"] in ("fail", "warn"):
                assert rule["verdict"] == ("fail" if RULES[id].level.value == "MUST" else "warn")
                assert rule["facts"][1].startswith("shows ")
                caught.add(id)
    assert caught == set(RULES)


def test_a_driver_that_ignores_the_mask_does_not_conform(mutant: Path, tmp_path: Path) -> None:
    rule = rules_of(judged(mutant, tmp_path, "a100x4"))["DRV-006"]
    assert rule["verdict"] == "fail"
    words = "shows other devices than it should (documented, seen on hardware)"
    assert rule["headline"] == f"a negative number in the middle: {words}"
    assert rule["facts"][-2:] == ["CUDA_VISIBLE_DEVICES=0,2,-1,1", "shows 0 1 2 3; the table allows 0 2"]


def test_another_admissible_answer_is_recorded_not_blamed(mutant: Path, tmp_path: Path) -> None:
    document = judged(mutant, tmp_path, "a100x4", "0x1", MUTANT_MASK="1")
    rule = rules_of(document)["DRV-018"]
    assert rule["verdict"] == "pass"
    assert "CUDA_VISIBLE_DEVICES=0x1: shows 1; the table allows 0 or 1" in rule["facts"]
    assert set(verdicts(document).values()) == {"pass", "does-not-apply"}


def test_an_answer_that_nobody_thought_of_is_a_warning(mutant: Path, tmp_path: Path) -> None:
    document = judged(mutant, tmp_path, "a100x4", "0x1", MUTANT_MASK="2")
    rule = rules_of(document)["DRV-018"]
    assert rule["verdict"] == "warn"
    assert rule["headline"] == "hexadecimal, `0x1`: the driver does something that nobody thought of"
    assert rule["facts"] == ["CUDA_VISIBLE_DEVICES=0x1", "shows 2; the table allows 0 or 1"]
    assert [id for id, verdict in verdicts(document).items() if verdict == "warn"] == ["DRV-018"]


def test_a_driver_that_fails_in_another_way_is_a_warning(mutant: Path, tmp_path: Path) -> None:
    rule = rules_of(judged(mutant, tmp_path, "a100x1", "GPU-", MUTANT_RESULT="101"))["DRV-030"]
    assert rule["verdict"] == "warn"
    assert rule["facts"][1] == "shows no device and cuInit gives 101; the table allows 0 or no device"


def test_a_driver_that_does_not_work_at_all_is_not_judged(mutant: Path, tmp_path: Path) -> None:
    fault = {"MUTANT_OF": str(library_directory() / "libcuda.so.1"), "MUTANT_WHEN": "*", "MUTANT_RESULT": "999"}
    check = ["env", f"LD_LIBRARY_PATH={mutant}:{library_directory()}", *GPU_VISIBILITY, "check", "driver"]
    done = run(tmp_path, "run", "--inventory", "a100x1", "--", *check, **fault)
    assert done.returncode == 4
    assert "cuInit fails with 999" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
