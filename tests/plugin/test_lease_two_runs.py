"""Two pytest runs at once, four workers each, on one machine of four GPUs that they take for the real one."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from places import program
from simulated_programs import python

from pytest_gpuvisibility import Inventory

TESTS = """
import json
import os
import signal
import subprocess
import sys
import time

import pytest

def record(leased, start):
    line = json.dumps({"uuids": leased, "start": start, "end": time.monotonic(), "run": os.environ["RUN"]}) + "\\n"
    file = os.open(os.environ["RECORD"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, line.encode())
    os.close(file)

def use(gpu_lease):
    start = time.monotonic()
    leased = [device.uuid for device in gpu_lease.devices]
    seen = subprocess.check_output([sys.executable, os.environ["TOUCHING_ALL"]], text=True).split()
    assert seen == [uuid.removeprefix("GPU-").replace("-", "") for uuid in leased]
    record(leased, start)

@pytest.mark.parametrize("number", range(8))
def test_one(number, gpu_lease):
    use(gpu_lease)

@pytest.mark.gpu_count(3)
@pytest.mark.parametrize("number", range(2))
def test_three(number, gpu_lease):
    use(gpu_lease)

@pytest.mark.gpu_count(2)
def test_that_is_killed(gpu_lease):
    use(gpu_lease)
    if os.environ["RUN"] == "a":
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ["RUN"] == "whole":
        os.killpg(0, signal.SIGKILL)

@pytest.mark.parametrize("number", range(8, 16))
def test_one_more(number, gpu_lease):
    use(gpu_lease)

@pytest.mark.gpu_count(4)
def test_four(gpu_lease):
    use(gpu_lease)
"""
EACH = 8 + 2 + 1 + 8 + 1
ONE_RUN = shlex.join(
    [sys.executable, "-m", "pytest", "-n4", "-p", "no:cacheprovider", "--gpu-inventory=real", "--gpu-lease=test"]
)


def beside_each_other(pytester: pytest.Pytester, first: str, second: str) -> pytest.RunResult:
    """Two runs at once, whose output is in first.txt and second.txt, and then somebody who wants all four GPUs."""
    pytester.makepyfile(TESTS)
    pytester.makeini("[pytest]\nmarkers = gpu_count(n): how many\n")
    touching_all = f"TOUCHING_ALL={program('leases/touching_all.py')}"
    everything = shlex.join(python("leases/all_free.py"))
    both = f"{first} >first.txt 2>&1 & {second} >second.txt 2>&1 & wait; {everything}"
    on_a_machine = [sys.executable, "-m", "pytest_gpuvisibility", "run", "--inventory=a100x4", "--"]
    return pytester.run(*on_a_machine, "env", touching_all, "sh", "-c", both)


def leases(record: Path) -> Iterator[list[tuple[float, float, str]]]:
    """For each GPU: from when until when a test used it, of which run; in order."""
    used = [json.loads(line) for line in record.read_text().splitlines()]
    for device in Inventory.load("a100x4").devices:
        yield sorted((test["start"], test["end"], test["run"]) for test in used if device.uuid in test["uuids"])


def assert_never_held_twice(record: Path) -> None:
    for times in leases(record):
        for earlier, later in pairwise(times):
            assert earlier[1] <= later[0], (earlier, later)


def test_a_worker_is_killed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeini("[pytest]\nmarkers = gpu_count(n): how many\n")
    record = pytester.path / "record.jsonl"
    monkeypatch.setenv("RECORD", str(record))
    result = beside_each_other(pytester, f"RUN=a {ONE_RUN}", f"RUN=b {ONE_RUN}")

    a, b = (Path(pytester.path, name).read_text() for name in ("first.txt", "second.txt"))
    assert f"1 failed, {EACH - 1} passed" in a, a
    assert "crashed while running" in a
    assert f"{EACH} passed" in b, b
    result.stdout.fnmatch_lines(["left: [[]]"])
    assert len(record.read_text().splitlines()) == 2 * EACH
    assert all({run for *_, run in times} == {"a", "b"} for times in leases(record))
    assert_never_held_twice(record)


def test_a_whole_run_is_killed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its controller, its four workers and their children at one stroke, while tests of both runs hold GPUs."""
    record = pytester.path / "record.jsonl"
    monkeypatch.setenv("RECORD", str(record))
    result = beside_each_other(pytester, f"RUN=whole setsid {ONE_RUN}", f"RUN=b {ONE_RUN}")

    killed, b = (Path(pytester.path, name).read_text() for name in ("first.txt", "second.txt"))
    assert " passed" not in killed
    assert f"{EACH} passed" in b, b
    result.stdout.fnmatch_lines(["left: [[]]"])
    assert {run for times in leases(record) for *_, run in times} == {"whole", "b"}
    assert_never_held_twice(record)
