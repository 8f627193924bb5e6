"""Deadlines count what a server was given of the machine, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pytest_gpuvisibility.host import Deadline, procfs
from pytest_gpuvisibility.host.deadline import MOST

LIMIT = 30.0


def test_a_deadline_on_an_idle_machine_is_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    deadline = Deadline(5.0, lambda: {1: 7.0, 2: 0.5})
    assert deadline.left() == 5.0
    now[0] += 5.0
    assert deadline.left() <= 0


def test_what_was_waited_for_a_cpu_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now, delays = [100.0], {1: 7.0}
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    deadline = Deadline(5.0, lambda: delays)
    delays.update({1: 8.0, 2: 2.0})  # a second later, and a process that has started since
    now[0] += 5.0
    assert deadline.left() == 3.0
    now[0] += 3.0
    assert deadline.left() <= 0


def test_a_deadline_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    deadline = Deadline(5.0, lambda: {1: 1e6 * (now[0] - 100.0)})
    now[0] += 5.0 * (1 + MOST)
    assert deadline.left() <= 0


@contextmanager
def programs(*codes: str) -> Iterator[list[int]]:
    """Python programs on one CPU, which live until the end."""
    cpu = min(os.sched_getaffinity(0))
    pin = f"import os; os.sched_setaffinity(0, {{{cpu}}}); print(flush=True)\n"
    started = [
        subprocess.Popen([sys.executable, "-I", "-S", "-c", pin + code], stdout=subprocess.PIPE) for code in codes
    ]
    try:
        for program in started:
            assert program.stdout is not None
            program.stdout.readline()
        yield [program.pid for program in started]
    finally:
        for program in started:
            program.kill()
            program.communicate()


def test_programs_that_share_a_cpu_are_delayed_and_one_that_sleeps_is_not() -> None:
    busy, idle = "while True: pass", "import time; time.sleep(3600)"
    with programs(busy, busy, idle) as pids:
        before = [procfs.run_delay(pid) for pid in pids]
        deadline = time.monotonic() + LIMIT
        while procfs.run_delay(pids[0]) - before[0] < 0.3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert procfs.run_delay(pids[2]) - before[2] < 0.1
    assert procfs.run_delay(pids[0]) == 0.0
