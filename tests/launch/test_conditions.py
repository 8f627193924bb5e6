"""What a scenario can arrange around a server: variables, a driver's faults, device nodes, an earlier start."""

from __future__ import annotations

from pathlib import Path

import pytest
from places import PROGRAMS

from pytest_gpuvisibility.launch import Launcher
from pytest_gpuvisibility.profile import files as profiles
from pytest_gpuvisibility.records import LaunchRecord, Scenario
from pytest_gpuvisibility.simulator import device_nodes


def launched(directory: Path, scenario: Scenario) -> LaunchRecord:
    session = directory / "session"
    session.mkdir()
    launcher = Launcher(profiles.load(PROGRAMS / "servers" / "second_start.toml"), session)
    fleet = launcher.launch(scenario)
    assert launcher.launch(scenario) == fleet  # as every other rule reads it
    assert not (session / scenario.key / "home").exists()
    return fleet


def said(fleet: LaunchRecord) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition(": ") for line in fleet.stdout.splitlines())}


def test_the_callers_own_container_does_not_reach_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "all")
    fleet = launched(tmp_path, Scenario(inventory="a100x1"))
    assert (fleet.exit_code, said(fleet)["container"]) == (3, "None")


def test_a_scenario_may_set_variables(tmp_path: Path) -> None:
    scenario = Scenario(inventory="container", visible="0", environ=(("NVIDIA_VISIBLE_DEVICES", "1,3"),))
    assert said(launched(tmp_path, scenario))["container"] == "1,3"
    assert scenario.describe() == "CUDA_VISIBLE_DEVICES=0, NVIDIA_VISIBLE_DEVICES=1,3, 1 group of 1"


@pytest.mark.parametrize(
    ("fault", "nvml"), [("nvml-missing", "not on this simulated machine"), ("nvml-no-permission", "4")]
)
def test_a_drivers_fault_leaves_cuda_alone(tmp_path: Path, fault: str, nvml: str) -> None:
    scenario = Scenario(inventory="a100x2", faults=(fault,))
    found = said(launched(tmp_path, scenario))
    assert found["cuda"] == "0"
    assert nvml in found["nvml"]
    assert scenario.describe().endswith(fault)


def test_dev_has_the_nodes_of_the_inventory(tmp_path: Path) -> None:
    fleet = launched(tmp_path, Scenario(inventory="container", device_nodes=True))
    if device_nodes.why_not():
        assert device_nodes.why_not() in fleet.remarks[0]
    else:
        assert said(fleet)["nodes"] == "/dev/nvidia1 /dev/nvidia3 /dev/nvidiactl"
        assert fleet.remarks == ()


def test_without_the_right_to_arrange_dev_the_server_runs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_nodes, "why_not", lambda: "not allowed")
    fleet = launched(tmp_path, Scenario(inventory="container", device_nodes=True))
    assert (fleet.exit_code, fleet.remarks) == (3, ("without device nodes of its own in /dev: not allowed",))


def test_an_earlier_start_has_the_same_ports_and_files(tmp_path: Path) -> None:
    scenario = Scenario(inventory="a100x4", groups=2, refused_first=(2, 2))
    fleet = launched(tmp_path, scenario)
    assert fleet.refusal == ("exited", 3)
    assert (fleet.outcome, said(fleet)["left"]) == ("ready", "True")
    assert scenario.describe().endswith("after a launch of 2 groups of 2")
