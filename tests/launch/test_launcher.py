"""One launch as the profile describes it: what is made before the first one, and the machine it takes place on."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import program
from twin_runs import check

from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.launch import Launcher
from pytest_gpuvisibility.launch.launcher import DEADLINE_FACTOR
from pytest_gpuvisibility.profile import Option
from pytest_gpuvisibility.profile import files as profiles
from pytest_gpuvisibility.records import IDLE, SECOND_MODEL, Action, LaunchRecord, Scenario
from pytest_gpuvisibility.reports import reproduce
from pytest_gpuvisibility.suite import ServerSubject

PROFILE = """
[product]
name = "toy"
version_command = ["{python}", "--version"]
[server]
command = ["{python}", "-I", "{here}/server.py", "{port}", "{model}"]
env = {GROUPS = "{groups}"}
values = {model = "{scratch}/model"}
prepare = ["{python}", "-I", "-c", "print('loaded', file=open('{model}', 'x'))"]
launch = "noop"
ready_deadline = 20.0
stop = "SIGTERM"
request = {kind = "http", url = "http://127.0.0.1:{worker_port}/", expect = "loaded"}
"""


def launcher_of(directory: Path, text: str = PROFILE) -> Launcher:
    shutil.copy(program("servers/launching.py"), directory / "server.py")
    (directory / "toy.toml").write_text(text)
    room = directory / "room"
    room.mkdir()
    return Launcher(profiles.load(directory / "toy.toml"), room)


@pytest.mark.parametrize(("policy", "answer", "skipped"), [("noop", "launched: 0", 1), ("error", "launched: 801", 0)])
def test_a_profile_chooses_what_a_kernel_launch_does(tmp_path: Path, policy: str, answer: str, skipped: int) -> None:
    text = PROFILE.replace('"noop"', f'"{policy}"').replace('"loaded"', f'"{answer}"')
    fleet = launcher_of(tmp_path, text).launch(Scenario(inventory="a100x1"))
    assert (fleet.outcome, fleet.skipped_kernel_launches) == ("ready", skipped)


def test_a_run_in_which_launches_were_skipped_says_so(tmp_path: Path) -> None:
    launcher_of(tmp_path)
    report = tmp_path / "report.json"
    run = check(tmp_path / "toy.toml", "-n0", "--gpu-rule=VIS-003", f"--gpu-report={report}")
    assert "2 kernel launches skipped: values are not real." in run.stdout
    (rule,) = json.loads(report.read_text())["rules"]
    assert rule["scenarios"][0]["observed"]["skipped_kernel_launches"] == 2
    assert " --launch noop -- " in rule["scenarios"][0]["reproduce"]


def subject_of(launcher: Launcher) -> ServerSubject:
    return ServerSubject(launcher.profile, "toy", "1.0", launcher, "a100x8", inventory_is_chosen=False)


@pytest.mark.parametrize(
    ("scenario", "told"),
    [
        (Scenario(inventory="a100x2", visible="1,0", groups=2), "1,0 None 2 None True NVML"),
        (
            Scenario(inventory="a100x2", device_order="PCI_BUS_ID", nvidia_smi=False),
            "None PCI_BUS_ID 1 None False NVML",
        ),
        (
            Scenario(inventory="a100x2", visible="", environ=(("MORE", "a b"),), faults=("nvml-missing",)),
            " None 1 a b True no NVML",
        ),
        (Scenario(inventory="container", device_nodes=True), "None None 1 None True NVML"),
    ],
)
def test_a_launch_by_hand_is_the_launch_of_the_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenario: Scenario, told: str
) -> None:
    monkeypatch.setattr(reproduce, "SCRATCH", str(tmp_path / "by-hand"))
    launcher = launcher_of(tmp_path)
    shutil.copy(program("servers/telling.py"), tmp_path / "server.py")
    fleet = launcher.launch(scenario)
    assert fleet.stdout.startswith(f"loaded {told}")
    shutil.rmtree(launcher.directory)  # as at the end of a session
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    for _ in range(2):  # what the profile prepares can be made once only
        again = subprocess.run(
            reproduce.launch_command(fleet, subject_of(launcher)),
            shell=True,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        assert again.stdout == fleet.stdout


def test_what_a_server_needs_is_made_once_a_session(tmp_path: Path) -> None:
    launcher = launcher_of(tmp_path)
    assert launcher.launch(Scenario(inventory="a100x1")).ready
    assert launcher.launch(Scenario(inventory="a100x2")).ready  # the preparation would fail where its file exists


def test_what_is_prepared_is_made_in_the_scratch_directory(tmp_path: Path) -> None:
    assert launched(tmp_path, Scenario(inventory="a100x1"), PROFILE.replace("open('{model}'", "open('model'")).ready


def test_a_preparation_that_fails_says_so(tmp_path: Path) -> None:
    text = PROFILE.replace("print('loaded', file=open('{model}', 'x'))", "raise SystemExit('no space for a model')")
    with pytest.raises(UserError, match=r"\[server\].prepare .*failed with exit code 1; .*no space for a model"):
        launcher_of(tmp_path, text).launch(Scenario(inventory="a100x1"))


BESIDE_3 = Action.of("beside", visible="3")
SECOND = 'second_model = {kind = "http", method = "POST", url = "http://127.0.0.1:{worker_port}/", expect = "loaded"}'
UUIDS = [device.uuid for device in Inventory.load("a100x4").devices]


def launched(directory: Path, scenario: Scenario, text: str = PROFILE) -> LaunchRecord:
    """Its fleet as every other rule will read it."""
    launcher = launcher_of(directory, text)
    fleet = launcher.launch(scenario)
    assert launcher.launch(scenario) == fleet
    assert launcher.records() == {scenario.key: fleet}
    return fleet


def touched(fleet: LaunchRecord) -> list[int]:
    return [UUIDS.index(uuid) for process in fleet.processes for uuid in process.touched]


def test_a_scenario_tells_what_it_adds_and_does() -> None:
    scenario = Scenario(visible="2", options=(Option.of("device", device=1),), actions=(IDLE, BESIDE_3))
    assert scenario.describe() == (
        "CUDA_VISIBLE_DEVICES=2, 1 group of 1, device 1, then asked again and idle,"
        " beside a second server with CUDA_VISIBLE_DEVICES=3"
    )
    assert scenario.key != Scenario(visible="2").key


def test_options_reach_the_command(tmp_path: Path) -> None:
    text = PROFILE.replace('"{model}"]', '"{model}", "{options}", "last"]') + '[server.options]\ncpu = ["--cpu"]\n'
    fleet = launched(tmp_path, Scenario(inventory="a100x4", options=(Option.of("cpu"),)), text)
    assert fleet.command[-2:] == ("--cpu", "last")


def test_a_second_server_runs_beside_the_first_on_the_same_machine(tmp_path: Path) -> None:
    fleet = launched(tmp_path, Scenario(inventory="a100x4", visible="2", actions=(BESIDE_3,)))
    [other] = fleet.beside
    assert (fleet.ready, other.ready) == (True, True)
    assert (touched(fleet), touched(other)) == ([2], [3])
    assert other.began > fleet.settled
    assert [done.error for done in fleet.action_results] == [""]


def test_a_second_server_that_does_not_start_is_no_failure_of_the_first(tmp_path: Path) -> None:
    nobodys = Action.of("beside", visible="")
    fleet = launched(tmp_path, Scenario(inventory="a100x4", visible="2", actions=(nobodys,)), slow_to_give_up())
    assert (fleet.ready, fleet.beside[0].outcome) == (True, "exited")
    assert fleet.action_results[0].error == "the second server: exited"


def slow_to_give_up() -> str:
    return PROFILE.replace(
        '"{here}/server.py"',
        '"-c", "import os, sys; assert os.environ[\'CUDA_VISIBLE_DEVICES\'];'
        ' sys.argv.pop(0); exec(open(sys.argv[0]).read())", "{here}/server.py"',
    )


def test_what_is_touched_by_a_later_act_is_known_to_be_later(tmp_path: Path) -> None:
    scenario = Scenario(inventory="a100x4", visible="2,3", actions=(SECOND_MODEL, IDLE))
    fleet = launched(tmp_path, scenario, PROFILE.replace("ready_deadline", f"idle = 0.1\n{SECOND}\nready_deadline"))
    [worker] = fleet.workers
    assert [done.error for done in fleet.action_results] == ["", ""]
    assert [UUIDS.index(uuid) for uuid in worker.touched] == [2, 3]
    assert [UUIDS.index(uuid) for uuid in worker.touched_by(fleet.settled)] == [2]


def test_a_second_model_needs_a_request(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"toy.toml has no \[server\].second_model"):
        launcher_of(tmp_path).launch(Scenario(inventory="a100x4", actions=(SECOND_MODEL,)))


def test_launches_may_take_longer_where_all_of_them_do(tmp_path: Path) -> None:
    launcher = launcher_of(tmp_path)
    assert launcher.with_longer_deadline.server.ready_deadline == 20.0
    fleet = launcher.launch(Scenario(inventory="a100x4"))
    hasty = dataclasses.replace(launcher.profile.server, ready_deadline=0.001)
    launcher.profile = dataclasses.replace(launcher.profile, server=hasty)
    assert launcher.with_longer_deadline.server.ready_deadline == DEADLINE_FACTOR * fleet.seconds
    (launcher.directory / "slowest").write_text("30")
    assert launcher.launch(Scenario(inventory="a100x2")).ready
