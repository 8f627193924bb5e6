"""The command line, as a shell sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import program
from simulated_programs import python

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.simulator import device_nodes, run_program


def cli(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest_gpuvisibility", *words]
    return subprocess.run(
        command, cwd="/", env={**os.environ, **environ}, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("mask", "indices"), [("0,2,-1,1", [0, 2]), ("-1", []), ("-1,0", []), ("", []), ("3,1", [3, 1])]
)
def test_resolve_prints_json(mask: str, indices: list[int]) -> None:
    answer = json.loads(cli("resolve", "--inventory", "a100x4", "--json", mask).stdout)
    assert [device["index"] for device in answer["devices"]] == indices
    assert answer["admissible"] == [indices]
    assert all({"index", "uuid"} <= set(device) for device in answer["devices"])


def test_resolve_says_when_it_is_not_settled() -> None:
    assert json.loads(cli("resolve", "--inventory", "a100x4", "--json", "0,9,0").stdout)["admissible"] == [[0], []]


def test_resolve_environ_reads_the_callers_own() -> None:
    run = cli("resolve", "--environ", "--json", CUDA_VISIBLE_DEVICES="5")
    assert [device["index"] for device in json.loads(run.stdout)["devices"]] == [5]
    assert "a100x8" in run.stderr


def test_resolve_environ_on_a_machine_that_answers() -> None:
    resolve = [sys.executable, "-m", "pytest_gpuvisibility", "resolve", "--environ", "--json"]
    run = cli("run", "--inventory", "mixed4", "--visible", "0", "--", *resolve)
    assert [device["index"] for device in json.loads(run.stdout)["devices"]] == [2]


@pytest.mark.parametrize("code", [0, 7])
def test_run_ends_with_the_programs_exit_code(code: int) -> None:
    run = cli("run", "--inventory", "a100x2", "--", "sh", "-c", f"echo out; exit {code}")
    assert (run.returncode, run.stdout) == (code, "out\n")


def test_run_tells_of_a_signal_as_a_shell_does() -> None:
    assert cli("run", "--", "sh", "-c", "kill -9 $$").returncode == 137


def test_run_says_who_touched_what(tmp_path: Path) -> None:
    audit = tmp_path / "ledger.jsonl"
    run = cli(
        "run", "--inventory", "a100x4", "--visible", "3,1", "--audit", str(audit), "--", *python("touching.py", "1")
    )
    assert run.returncode == 0, run.stderr
    assert 'CUDA_VISIBLE_DEVICES "3,1"' in run.stderr
    assert run.stderr.rstrip().endswith("touched GPU 1")
    records = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [record["event"] for record in records] == ["init", "context"]
    expected = {"time", "pid", "ppid", "argv0", "event", "uuid", "cuda_visible_devices", "cuda_device_order"}
    assert all(expected <= set(record) for record in records)


WIDENS = """
import os, subprocess, sys
os.environ["CUDA_VISIBLE_DEVICES"] = {mask!r}
sys.exit(subprocess.call([sys.executable, {touching!r}, *sys.argv[1:]]) or {code})
"""


def widens(mask: str, code: int = 0) -> list[str]:
    """A program that starts a child under a mask of its own, and ends with that code. It takes devices to touch."""
    return [sys.executable, "-c", WIDENS.format(mask=mask, touching=program("touching.py"), code=code)]


@pytest.mark.parametrize(
    ("strict", "touches", "code", "ends"),
    [
        ([], "1", 0, 0),
        (["--strict"], "1", 0, 1),
        (["--strict"], "1", 7, 7),  # the program's own failure is told first
        (["--strict"], "0", 0, 0),
    ],
    ids=["told", "strict", "fails itself", "within"],
)
def test_run_marks_what_was_touched_outside_the_mask(strict: list[str], touches: str, code: int, ends: int) -> None:
    run = cli("run", "--inventory", "a100x4", "--visible", "3", *strict, "--", *widens("3,1", code), touches)
    assert run.returncode == ends
    line = run.stderr.rstrip().splitlines()[-1]
    assert line.endswith("touched GPU 3" if touches == "0" else "touched GPU 1 OUT OF BOUNDS")
    assert 'CUDA_VISIBLE_DEVICES "3,1"' in line


def test_run_obeys_no_mask_of_a_child() -> None:
    run = cli("run", "--inventory", "a100x4", "--", *widens("0,\x1b[31m\nred"), "0")
    line = run.stderr.rstrip().splitlines()[-1]
    assert "\x1b" not in run.stderr
    assert "CUDA_VISIBLE_DEVICES" in line
    assert "touched GPU 0" in line


def test_run_shows_the_beginning_of_a_long_mask() -> None:
    run = cli("run", "--inventory", "a100x4", "--", *widens("1," + "3" * 100_000), "0")
    assert len(run.stderr) < 1000
    assert "33… (" in run.stderr


def test_run_counts_processes_that_are_alike() -> None:
    code = "import subprocess, sys; [subprocess.run(sys.argv[1:]) for _ in range(40)]"
    run = cli("run", "--inventory", "a100x2", "--", sys.executable, "-c", code, *python("touching.py", "1"))
    assert run.stderr.count("\n") == 2
    assert "40 times" in run.stderr


def test_the_audit_of_a_program_that_uses_no_gpu_is_empty(tmp_path: Path) -> None:
    audit = tmp_path / "ledger.jsonl"
    run = cli("run", "--audit", str(audit), "--", "true")
    assert (run.returncode, run.stderr) == (0, "gpu-visibility: no process initialised CUDA on a100x8\n")
    assert audit.read_text() == ""


def test_an_audit_has_what_nvml_was_asked(tmp_path: Path) -> None:
    audit = tmp_path / "ledger.jsonl"
    ask = "import pynvml; pynvml.nvmlInit(); pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(1))"
    run = cli("run", "--inventory", "a100x2", "--audit", str(audit), "--", sys.executable, "-c", ask)
    assert run.stderr == "gpu-visibility: no process initialised CUDA on a100x2\n"
    [record] = map(json.loads, audit.read_text().splitlines())
    device = Inventory.load("a100x2").devices[1]
    assert (record["event"], record["function"], record["uuid"]) == ("question", "memory", device.uuid)


@pytest.mark.parametrize(("policy", "leads_on"), [("error", True), ("noop", False)])
def test_who_meets_a_private_table_is_led_to_what_helps(policy: str, leads_on: bool) -> None:
    ask = (
        "import ctypes; cuda = ctypes.CDLL('libcuda.so.1'); cuda.cuInit(0);"
        " cuda.cuGetExportTable(ctypes.byref(ctypes.c_void_p()), bytes(16))"
    )
    run = cli("run", "--launch", policy, "--", sys.executable, "-c", ask)
    assert "tables private to NVIDIA" in run.stderr
    assert ("--launch noop" in run.stderr) == leads_on


def test_run_refuses_a_fault_that_it_does_not_know() -> None:
    run = cli("run", "--fault", "nvml-lost", "--", "true")
    assert run.returncode == 2
    assert all(word in run.stderr for word in ("--fault", "nvml-lost", "nvml-missing"))


def test_run_says_who_may_have_device_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_nodes, "why_not", lambda: "Operation not permitted")
    with pytest.raises(UserError, match=r"--device-nodes: Operation not permitted\. Run it as root"):
        run_program(["true"], Inventory.load("a100x2"), own_device_nodes=True, permitted=())


def test_run_refuses_an_audit_that_cannot_be_written() -> None:
    run = cli("run", "--audit", "/nonexistent/ledger.jsonl", "--", "true")
    assert run.returncode == 2
    assert "/nonexistent" in run.stderr


@pytest.mark.parametrize("listing", ["rules", "inventories", "servers"])
def test_listings_come_as_text_and_as_json(listing: str) -> None:
    names = [entry.get("id", entry.get("name")) for entry in json.loads(cli(listing, "--json").stdout)]
    listed = cli(listing).stdout
    assert names
    assert all(name in listed for name in names)


def test_an_inventory_is_shown_with_its_faults(tmp_path: Path) -> None:
    lines = cli("inventories", "sick8").stdout.splitlines()
    assert [line.endswith("  nvml-unknown") for line in lines] == [True] + [False] * 7
    file = tmp_path / "unloaded.toml"
    file.write_text('name = "unloaded"\nfaults = ["driver-not-loaded"]\n')
    assert cli("inventories", str(file)).stdout == "The driver has the faults driver-not-loaded.\n"


@pytest.mark.parametrize("words", [["run", "--bogus"], ["resolve", "0", "1"], ["nosuch"], []])
def test_a_mistake_ends_in_exit_code_2(words: list[str]) -> None:
    run = cli(*words)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
