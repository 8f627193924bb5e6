"""Workers that are killed, models that are given up, and what a server says of itself: seen on a server of our own."""

from __future__ import annotations

from pathlib import Path

import pytest
from twin_runs import profile_of, verdicts

from pytest_gpuvisibility.launch import Launcher
from pytest_gpuvisibility.profile import Option
from pytest_gpuvisibility.profile import files as profiles
from pytest_gpuvisibility.records import Action, LaunchRecord, Scenario, SelfReport
from pytest_gpuvisibility.server.self_reports import _whole

RESTARTS = (Option("restarts"),)


def launched(
    directory: Path, fault: str, *actions: Action, options: tuple[Option, ...] = (), **replacements: str
) -> LaunchRecord:
    """Two workers on the last two of four GPUs."""
    session = directory / "session"
    session.mkdir()
    launcher = Launcher(profiles.load(profile_of(fault, directory, **replacements)), session)
    scenario = Scenario(inventory="a100x4", visible="2,3", groups=2, actions=actions, options=options)
    fleet = launcher.launch(scenario)
    assert launcher.launch(scenario) == fleet  # as every other rule reads it
    assert fleet.ready
    return fleet


def test_a_worker_that_is_started_again_is_found_again(tmp_path: Path) -> None:
    fleet = launched(tmp_path, "none", Action.of("kill_worker", times=3), options=RESTARTS)
    [done] = fleet.action_results
    assert [(kill.group, kill.outcome) for kill in done.worker_kills] == [(1, "replaced")] * 3
    chain = [done.worker_kills[0].pid, *(kill.replacement for kill in done.worker_kills)]
    assert [kill.pid for kill in done.worker_kills] == chain[:-1]
    assert len(set(chain)) == 4
    touched = {process.pid: process.touched for process in fleet.processes}
    assert [touched[pid] for pid in chain if pid is not None] == [(fleet.permitted[1],)] * 4
    assert {found["device"] for kill in done.worker_kills for found in kill.said if found["group"] == "1"} == {
        fleet.permitted[1]
    }


@pytest.mark.parametrize(
    ("fault", "options", "outcome"),
    [("none", (), "ended"), ("lif-006", RESTARTS, "ready"), ("lif-001", (), "ready")],
)
def test_what_a_server_does_about_a_dead_worker(
    tmp_path: Path, fault: str, options: tuple[Option, ...], outcome: str
) -> None:
    short = {"reaction_deadline = 10.0": "reaction_deadline = 1.0"}
    fleet = launched(tmp_path, fault, Action.of("kill_worker", times=5), options=options, **short)
    [kill] = fleet.action_results[0].worker_kills
    assert (kill.outcome, kill.replacement) == (outcome, None)
    assert kill.seconds >= 1.0 or outcome == "ended"


def test_one_that_says_that_it_is_not_ready_need_not_be_waited_for(tmp_path: Path) -> None:
    """Its health fails, and it does not claim to start workers again."""
    changed = {"restarts = true": "restarts = false", "reaction_deadline = 10.0": "reaction_deadline = 600.0"}
    changed["ready_deadline = 15.0"] = "ready_deadline = 8.0"
    silent = {'health = "http://127.0.0.1:{port}/health"': 'health = "http://127.0.0.1:{port}/health?strict"'}
    fleet = launched(tmp_path, "lif-006", Action.of("kill_worker", times=5), options=RESTARTS, **changed, **silent)
    assert [kill.outcome for kill in fleet.action_results[0].worker_kills] == ["not-ready"]


def test_a_model_is_given_up_and_taken_again(tmp_path: Path) -> None:
    assert launched(tmp_path, "none", Action.of("reload", times=5)).action_results[0].error == ""


def test_a_model_that_is_not_taken_again_is_told_with_the_step_and_the_time(tmp_path: Path) -> None:
    short = {"reaction_deadline = 10.0": "reaction_deadline = 0.5"}
    error = launched(tmp_path, "lif-009", Action.of("reload", times=5), **short).action_results[0].error
    assert error.startswith("load, for the 3. time: ")
    assert "all 3 slots for models are taken" in error


def test_all_that_a_profile_describes_is_heard_of_a_ready_server(tmp_path: Path) -> None:
    fleet = launched(tmp_path, "none")
    metrics, workers, memory = (fleet.self_reports[name] for name in ("metrics", "workers", "memory"))
    assert [found["device"] for found in metrics.found] == list(fleet.permitted)
    assert {found["group"]: found["device"] for found in workers.found} == dict(zip("01", fleet.permitted, strict=True))
    assert [size for _, size in memory.sizes("total")] == [81920 << 20] * 2
    assert [size for _, size in memory.sizes("planned")] == [(81920 * 90 // 100) << 20] * 2
    assert fleet.says_ready


def test_workers_may_be_named_by_their_port(tmp_path: Path) -> None:
    by_port = {r"worker (?P<group>\d+) ready on (?P<device>\S+)\n": r"on port (?P<port>\d+): (?P<device>\S+)\n"}
    found = launched(tmp_path, "none", **by_port).self_reports["workers"].found
    assert {entry["group"] for entry in found} == {"0", "1"}


def test_a_report_that_nobody_answers_says_why(tmp_path: Path) -> None:
    gone = {"{port}/metrics": "{port}/nothing", "ready_deadline = 15.0": "ready_deadline = 5.0"}
    report = launched(tmp_path, "none", **gone).self_reports["metrics"]
    assert report.found == ()
    assert "HTTP status 404" in report.error


def test_a_group_that_is_no_number_is_nobodys(tmp_path: Path) -> None:
    named = {r"worker (?P<group>\d+) ready on (?P<device>\S+)\n": r"(?P<group>worker) \d ready on (?P<device>\S+)\n"}
    found = verdicts(profile_of("none", tmp_path, **named), "--gpu-rule=IDN-009", "-n0")["IDN-009"]
    assert (found["verdict"], found["headline"]) == ("warn", "does not say which worker has which GPU")


def test_sizes_are_read_in_their_units() -> None:
    found = ({"total_gib": "1.5"}, {"total_mib": "2", "device": "x"}, {"total_bytes": "3"}, {"total_mib": "many"})
    assert [size for _, size in SelfReport(found).sizes("total")] == [3 << 29, 2 << 20, 3]
    assert SelfReport(found).sizes("planned") == []


@pytest.mark.parametrize(
    ("text", "number"), [("8000", 8000), ("\u00b2", None), ("9" * 5000, None), ("-1", None), ("", None)]
)
def test_a_port_or_pid_is_a_short_decimal_number(text: str, number: int | None) -> None:
    assert _whole(text) == number


@pytest.mark.parametrize("text", ["NaN", "inf", "-Infinity", "many", ""])
def test_what_is_no_amount_is_left_out(text: str) -> None:
    assert SelfReport(({"total_mib": text}, {"total_mib": "2"})).sizes("total") == [({"total_mib": "2"}, 2 << 20)]
