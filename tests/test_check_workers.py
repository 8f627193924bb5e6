"""How many scenarios run side by side: as many as cores, rules and memory allow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pytest_gpuvisibility.conformance import catalogue
from twin_runs import check, profile_of

from pytest_gpuvisibility import cli

GIBIBYTE = 1 << 30


@pytest.fixture
def big_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.setattr(cli, "_free_memory", lambda: 1000 * GIBIBYTE)


@pytest.mark.usefixtures("big_machine")
def test_there_are_no_more_workers_than_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli._workers("lmql", []) == len(catalogue("server"))
    assert cli._workers("lmql", ["--gpu-rule=VIS-001", "--gpu-rule", "vis-002", "-v"]) == 2
    assert cli._workers("lmql", ["--gpu-rule=VIS-001"]) == 0
    assert cli._workers("driver", []) == 0
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    assert cli._workers("lmql", []) == 2 * cli.XDIST_WORKERS


@pytest.mark.usefixtures("big_machine")
def test_workers_find_room_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_free_memory", lambda: 5 * GIBIBYTE // 2)
    assert cli._workers("lmql", []) == 2
    monkeypatch.setattr(cli, "_free_memory", lambda: GIBIBYTE // 2)
    assert cli._workers("lmql", []) == 0


def test_one_rule_starts_no_other_process_of_pytest(tmp_path: Path) -> None:
    run = check(profile_of("none", tmp_path), "--gpu-rule=VIS-002")
    assert run.returncode == 0, run.stdout
    assert "created: " not in run.stdout  # as pytest-xdist begins
    assert "1 of 69 rules judged: all pass." in run.stdout
