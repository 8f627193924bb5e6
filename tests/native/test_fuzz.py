from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import PROGRAMS, ROOT, TESTS

from pytest_gpuvisibility.simulator import Ledger

NATIVE = ROOT / "pytest_gpuvisibility" / "native"
SOURCES = (*sorted((NATIVE / "core").glob("*.c")), NATIVE / "tools" / "python_api.c")


def build(directory: Path, sanitizers: str) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = directory / "native_fuzz"
    options = [
        "-std=c11",
        "-D_GNU_SOURCE",
        "-g",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pthread",
        f"-I{NATIVE}",
        f"-fsanitize={sanitizers}",
        "-fno-sanitize-recover=all",
    ]
    sources = [str(PROGRAMS / "c" / "native_fuzz.c"), *map(str, SOURCES)]
    run = subprocess.run([compiler, *options, *sources, "-o", str(program)], capture_output=True, text=True)
    if "cannot find" in run.stderr and "san" in run.stderr:
        pytest.skip("the compiler has no sanitizer libraries")
    assert run.returncode == 0, run.stderr
    return program


def test_masks_state_and_ledger_survive_random_input_and_sudden_death(tmp_path: Path) -> None:
    machine = tmp_path / "machine"
    machine.mkdir()
    program = build(tmp_path, "address,undefined")
    run = subprocess.run([program, machine, "20000"], capture_output=True, text=True, timeout=300)
    assert (run.returncode, run.stderr) == (0, "")
    # The killed children's slots were used again: there was never more than one child.
    assert int(run.stdout.split()[0]) <= 2
    lines = (machine / "ledger.jsonl").read_bytes().splitlines()
    assert all(json.loads(line)["event"] == "init" for line in lines)
    assert len(Ledger(machine / "ledger.jsonl").records()) == len(lines) == 200


@pytest.mark.parametrize("sanitizers", ["thread", "address,undefined"])
def test_threads_share_a_machine_and_may_fork(tmp_path: Path, sanitizers: str) -> None:
    machine = tmp_path / "machine"
    machine.mkdir()
    command = [build(tmp_path, sanitizers), machine, "1000", "4"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (run.returncode, run.stderr) == (0, "")
    assert sum(record.count == 512 for record in Ledger(machine / "ledger.jsonl").records()) == 5


@pytest.mark.skipif(shutil.which("clang") is None, reason="no clang, whose libFuzzer this needs")
@pytest.mark.parametrize("target", ["mask", "state"])
def test_the_fuzzers_find_nothing_at_once(target: str, tmp_path: Path) -> None:
    """How long they have run is in docs/benchmarks.md; that they can be built at all is for this test."""
    command = [sys.executable, str(TESTS / "fuzz" / "run.py"), target, "--seconds", "2"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, check=False)
    if "cannot find" in run.stderr and "fuzzer" in run.stderr:
        pytest.skip("this clang has no libFuzzer")
    assert run.returncode == 0, run.stderr[-4000:]
    assert "stat::number_of_executed_units" in run.stderr
    assert list(tmp_path.iterdir()) == []
