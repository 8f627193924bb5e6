"""However a run ends, no server process outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from twin_runs import check, profile_of

LIMIT = 30.0


def carrying(mark: str) -> list[int]:
    """Pids of the living processes that were started with TWIN_MARK=``mark``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"TWIN_MARK={mark}".encode() in environ.split(b"\0"):
                found.append(int(entry.name))
    return found


def until(condition: Callable[[], bool], what: str) -> None:
    """Poll for something that another process does."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {LIMIT:.0f} s"
        time.sleep(0.05)


@pytest.fixture
def mark() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def profile(tmp_path: Path, mark: str) -> Path:
    return profile_of(
        "none", tmp_path, **{"\n[server.values]": f'\n[server.env]\nTWIN_MARK = "{mark}"\n[server.values]'}
    )


def start(profile: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest_gpuvisibility", "check", str(profile), "-n2", *options]
    return subprocess.Popen(
        command, cwd=profile.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_ended_in_the_middle(profile: Path, mark: str, number: signal.Signals) -> None:
    with start(profile) as run:
        until(lambda: len(carrying(mark)) > 3, "servers are started")
        os.killpg(run.pid, number)
        run.communicate(timeout=LIMIT)
    until(lambda: not carrying(mark), "every server process is gone")


def test_an_interrupted_run_leaves_the_last_report_as_it_was(profile: Path, mark: str, tmp_path: Path) -> None:
    """A report of half the rules would look like one of all of them."""
    report = tmp_path / "report.json"
    report.write_text("the last one")
    with start(profile, f"--gpu-report={report}") as run:
        assert run.stdout is not None
        assert any(b"now the rules" in line for line in iter(run.stdout.readline, b""))
        until(lambda: len(carrying(mark)) > 3, "servers are started")
        os.killpg(run.pid, signal.SIGINT)
        output, _ = run.communicate(timeout=LIMIT)
    assert run.returncode == 2
    assert report.read_text() == "the last one"
    assert b"KeyboardInterrupt" in output
    until(lambda: not carrying(mark), "every server process is gone")


def test_the_controller_alone_is_killed(profile: Path, mark: str) -> None:
    with start(profile) as run:
        until(lambda: len(carrying(mark)) > 3, "servers are started")
        run.kill()
        run.communicate(timeout=LIMIT)
    until(lambda: not carrying(mark), "every server process is gone")
    assert check(profile, "--gpu-rule=VIS-002", "-n0").returncode == 0
    assert not carrying(mark)
