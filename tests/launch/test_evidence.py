"""What hides or spoils the evidence of a launch is noticed, and is no verdict on the server."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from twin_runs import profile_of

from pytest_gpuvisibility.launch import Launcher
from pytest_gpuvisibility.profile import files as profiles
from pytest_gpuvisibility.records import LaunchRecord, Scenario


def launched(directory: Path, scenario: Scenario) -> LaunchRecord:
    session = directory / "session"
    session.mkdir()
    return Launcher(profiles.load(profile_of("none", directory)), session).launch(scenario)


def test_the_callers_own_probe_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_VISIBILITY_PROBE", "1")
    fleet = launched(tmp_path, Scenario(inventory="a100x2", groups=2))
    assert [worker.evidence.value for worker in fleet.workers] == ["touched", "touched"]


def test_a_full_disk_is_no_fault_of_a_server_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        launched(tmp_path, Scenario(inventory="a100x2", visible=""))
    assert str(caught.value.filename).startswith(str(tmp_path / "session"))


def test_every_worker_is_asked_and_touches_before_a_launch_counts_as_ready(tmp_path: Path) -> None:
    fleet = launched(tmp_path, Scenario(inventory="a100x2", groups=2))
    assert (fleet.outcome, fleet.requests) == ("ready", {"0": "answered", "1": "answered"})
    assert not fleet.touch_expected  # it is the first
    assert {process.told_by for process in fleet.workers} == {"argv"}
    assert fleet.unplaced == ()
