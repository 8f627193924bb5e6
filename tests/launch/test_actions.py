"""Workers that are killed, models that are given up, and what a server says of itself: seen on a server of our own."""

from __future__ import annotations

from pathlib import Path

import pytest
from twin_runs import profile_of, verdicts

from pytest_gpuvisibility.launch.actions import Act, lose_workers, reload
from pytest_gpuvisibility.launch.launcher import Theatre
from pytest_gpuvisibility.profile import files as profiles
from pytest_gpuvisibility.profile.files import Option
from pytest_gpuvisibility.records import Fleet, Scenario
from pytest_gpuvisibility.server.self_reports import Statement, _whole

RESTARTS = (Option("restarts"),)


def play(directory: Path, fault: str, *acts: Act, options: tuple[Option, ...] = (), **replacements: str) -> Fleet:
    """Two workers on the last two of four GPUs."""
    room = directory / "room"
    room.mkdir()
    stage = Theatre(profiles.load(profile_of(fault, directory, **replacements)), room)
    scenario = Scenario(inventory="a100x4", visible="2,3", groups=2, acts=acts, options=options)
    fleet = stage.play(scenario)
    assert stage.play(scenario) == fleet  # as every other rule reads it
    assert fleet.ready
    return fleet


def test_a_worker_that_is_started_again_is_found_again(tmp_path: Path) -> None:
    fleet = play(tmp_path, "none", lose_workers(3), options=RESTARTS)
    [deed] = fleet.deeds
    assert [(loss.group, loss.outcome) for loss in deed.losses] == [(1, "replaced")] * 3
    chain = [deed.losses[0].pid, *(loss.replacement for loss in deed.losses)]
    assert [loss.pid for loss in deed.losses] == chain[:-1]
    assert len(set(chain)) == 4
    touched = {process.pid: process.touched for process in fleet.processes}
    assert [touched[pid] for pid in chain if pid is not None] == [(fleet.permitted[1],)] * 4
    assert {found["device"] for loss in deed.losses for found in loss.said if found["group"] == "1"} == {
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
    fleet = play(tmp_path, fault, lose_workers(5), options=options, **short)
    [loss] = fleet.deeds[0].losses
    assert (loss.outcome, loss.replacement) == (outcome, None)
    assert loss.seconds >= 1.0 or outcome == "ended"


def test_one_that_says_that_it_is_not_ready_need_not_be_waited_for(tmp_path: Path) -> None:
    """Its health fails, and it does not claim to start workers again."""
    changed = {"restarts = true": "restarts = false", "reaction_deadline = 10.0": "reaction_deadline = 600.0"}
    changed["ready_deadline = 15.0"] = "ready_deadline = 8.0"
    silent = {'health = "http://127.0.0.1:{port}/health"': 'health = "http://127.0.0.1:{port}/health?strict"'}
    fleet = play(tmp_path, "lif-006", lose_workers(5), options=RESTARTS, **changed, **silent)
    assert [loss.outcome for loss in fleet.deeds[0].losses] == ["not-ready"]


def test_a_model_is_given_up_and_taken_again(tmp_path: Path) -> None:
    assert play(tmp_path, "none", reload(5)).deeds[0].error == ""


def test_a_model_that_is_not_taken_again_is_told_with_the_step_and_the_time(tmp_path: Path) -> None:
    short = {"reaction_deadline = 10.0": "reaction_deadline = 0.5"}
    error = play(tmp_path, "lif-009", reload(5), **short).deeds[0].error
    assert error.startswith("load, for the 3. time: ")
    assert "all 3 slots for models are taken" in error


def test_all_that_a_profile_describes_is_heard_of_a_ready_server(tmp_path: Path) -> None:
    fleet = play(tmp_path, "none")
    metrics, workers, memory = (fleet.statements[name] for name in ("metrics", "workers", "memory"))
    assert [found["device"] for found in metrics.found] == list(fleet.permitted)
    assert {found["group"]: found["device"] for found in workers.found} == dict(zip("01", fleet.permitted, strict=True))
    assert [size for _, size in memory.sizes("total")] == [81920 << 20] * 2
    assert [size for _, size in memory.sizes("planned")] == [(81920 * 90 // 100) << 20] * 2
    assert fleet.says_ready


def test_workers_may_be_named_by_their_port(tmp_path: Path) -> None:
    by_port = {r"worker (?P<group>\d+) ready on (?P<device>\S+)\n": r"on port (?P<port>\d+): (?P<device>\S+)\n"}
    found = play(tmp_path, "none", **by_port).statements["workers"].found
    assert {entry["group"] for entry in found} == {"0", "1"}


def test_a_report_that_nobody_answers_says_why(tmp_path: Path) -> None:
    gone = {"{port}/metrics": "{port}/nothing", "ready_deadline = 15.0": "ready_deadline = 5.0"}
    statement = play(tmp_path, "none", **gone).statements["metrics"]
    assert statement.found == ()
    assert "HTTP status 404" in statement.error


def test_a_group_that_is_no_number_is_nobodys(tmp_path: Path) -> None:
    named = {r"worker (?P<group>\d+) ready on (?P<device>\S+)\n": r"(?P<group>worker) \d ready on (?P<device>\S+)\n"}
    found = verdicts(profile_of("none", tmp_path, **named), "--gpu-rule=IDN-009", "-n0")["IDN-009"]
    assert (found["verdict"], found["headline"]) == ("warn", "does not say which worker has which GPU")


def test_sizes_are_read_in_their_units() -> None:
    found = ({"total_gib": "1.5"}, {"total_mib": "2", "device": "x"}, {"total_bytes": "3"}, {"total_mib": "many"})
    assert [size for _, size in Statement(found).sizes("total")] == [3 << 29, 2 << 20, 3]
    assert Statement(found).sizes("planned") == []


@pytest.mark.parametrize(
    ("text", "number"), [("8000", 8000), ("\u00b2", None), ("9" * 5000, None), ("-1", None), ("", None)]
)
def test_a_port_or_pid_is_a_short_decimal_number(text: str, number: int | None) -> None:
    assert _whole(text) == number


@pytest.mark.parametrize("text", ["NaN", "inf", "-Infinity", "many", ""])
def test_what_is_no_amount_is_left_out(text: str) -> None:
    assert Statement(({"total_mib": text}, {"total_mib": "2"})).sizes("total") == [({"total_mib": "2"}, 2 << 20)]
