"""What can be on trial, a server or the driver itself, asked directly: what it is, whether it can be judged at all."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from twin_runs import profile_of
from written_launches import launched, process

from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.launch import Launcher
from pytest_gpuvisibility.profile import Profile, Unsupported, load
from pytest_gpuvisibility.records import NO_DEVICE, NO_DRIVER, LaunchRecord, MaskAnswer, MaskQuery, Scenario
from pytest_gpuvisibility.simulator.probe import ProbedDevice, ProbeResult
from pytest_gpuvisibility.suite import (
    DriverSubject,
    Preparation,
    ServerSubject,
    driver_subject,
    open_driver,
    open_server,
)
from pytest_gpuvisibility.witness import LedgerWitness

TWO = Inventory.load("a100x2")
MIG = Inventory.load("mig")
FIRST, SECOND = (device.uuid for device in TWO.devices)


# The driver.


@pytest.fixture
def driver(tmp_path: Path) -> DriverSubject:
    return open_driver("a100x2", tmp_path, first=True)


def test_the_driver_of_a_machine_is_named_by_its_version(driver: DriverSubject) -> None:
    assert (driver.family, driver.name, driver.version) == ("driver", "cuda-driver", TWO.driver_version)
    assert (driver.inventory, driver.simulated, driver.hardware, driver.machine("any")) == ("a100x2", True, TWO, TWO)
    assert driver.first_step == f"asking cuda-driver {TWO.driver_version} what it shows without a mask"
    assert (driver.source, driver.url[:8], driver.unsupported) == ("driver", "https://", ())
    assert (driver.launches(), driver.preparation) == ({}, Preparation())


def test_without_a_mask_the_driver_shows_all_whatever_the_caller_has_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert open_driver("mixed4", tmp_path, first=True).control() == "it shows 2 0 3 1"


def test_what_the_driver_answers_is_kept_beside_what_it_may(driver: DriverSubject, tmp_path: Path) -> None:
    hexadecimal, none = MaskQuery("0x1"), MaskQuery("", "PCI_BUS_ID")
    assert driver.ask(hexadecimal) == MaskAnswer(hexadecimal, 0, (FIRST,), ((FIRST,), (SECOND,)))
    assert driver.ask(none) == MaskAnswer(none, NO_DEVICE, (), ((),))
    beside = open_driver("a100x2", tmp_path, first=False)
    assert beside.answers() == {query.key: driver.ask(query) for query in (hexadecimal, none)}
    assert set(driver.answers()) == {hexadecimal.key, none.key}


def test_what_the_driver_may_depends_on_the_order(tmp_path: Path) -> None:
    mixed = open_driver("mixed4", tmp_path, first=True)
    for order in (None, "PCI_BUS_ID", "pci_bus_id"):
        answer = mixed.ask(MaskQuery("0", order))
        assert answer.admitted
        assert answer.settled == (order != "pci_bus_id")


def test_slices_are_told_from_gpus_by_their_bytes(tmp_path: Path) -> None:
    cut = open_driver("mig", tmp_path, first=True)
    whole, *slices = (unit.uuid for unit in MIG.units if unit is not MIG.devices[1])
    assert cut.ask(MaskQuery(slices[1])).devices == (slices[1],)
    assert cut.label([slices[0], whole, "GPU-x"]) == "1/1/0 0 GPU-x (unknown)"
    assert cut.label([]) == "no device"


def answering(result: int, *uuids: str) -> Any:
    devices = tuple(ProbedDevice(ordinal, uuid, "", "") for ordinal, uuid in enumerate(uuids))
    return lambda environ: ProbeResult(result, devices)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (NO_DRIVER, "No CUDA driver answers: there is no libcuda.so.1"),
        (999, "cuInit fails with 999 although no mask is set: the driver does not work at all"),
    ],
)
def test_a_driver_that_does_not_work_is_not_judged(
    driver: DriverSubject, monkeypatch: pytest.MonkeyPatch, result: int, words: str
) -> None:
    monkeypatch.setattr(driver_subject, "probe", answering(result))
    with pytest.raises(UserError) as caught:
        driver.control()
    assert str(caught.value).startswith(words)
    assert "a100x8" in str(caught.value)


def test_a_driver_may_be_judged_that_shows_nothing(driver: DriverSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_subject, "probe", answering(NO_DEVICE))
    assert driver.control() == "it shows no device"


def test_a_device_that_the_machine_does_not_have_is_kept_as_the_driver_said_it(
    driver: DriverSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_subject, "probe", answering(0, FIRST.upper(), "GPU-ffff"))
    assert driver.ask(MaskQuery()).devices == (FIRST, "GPU-ffff")


def test_the_processes_of_a_session_judge_one_machine(tmp_path: Path) -> None:
    first = open_driver("a100x2", tmp_path, first=True)
    other = open_driver("", tmp_path, first=False, find_inventory=lambda name: pytest.fail(name))
    assert (other.hardware, other.simulated, other.control()) == (TWO, True, "it shows 0 1")
    assert (first.inventory_is_chosen, other.inventory_is_chosen) == (True, False)


@pytest.mark.parametrize(("chosen", "asked_for"), [("lab", "lab"), ("", "a100x8")])
def test_the_machine_is_the_one_that_is_chosen_or_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str, asked_for: str
) -> None:
    monkeypatch.setattr(driver_subject, "real_gpus_answer", lambda: False)
    asked: list[str] = []

    def find(name: str) -> Inventory:
        asked.append(name)
        return TWO

    subject = open_driver(chosen, tmp_path, first=True, find_inventory=find)
    assert (asked, subject.simulated, subject.inventory_is_chosen) == ([asked_for], True, bool(chosen))


@pytest.mark.parametrize(("chosen", "answers", "first"), [("real", False, True), ("", True, True), ("", False, False)])
def test_the_machines_own_driver_is_judged_where_it_is_chosen_or_has_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str, answers: bool, first: bool
) -> None:
    monkeypatch.setattr(driver_subject, "real_gpus_answer", lambda: answers)
    monkeypatch.setattr(Inventory, "from_nvml", staticmethod(lambda: TWO))
    monkeypatch.setenv("GPU_VISIBILITY_TEST", "1")
    subject = open_driver(chosen, tmp_path, first=first, find_inventory=lambda name: pytest.fail(name))
    assert (subject.simulated, subject.hardware, subject.inventory_is_chosen) == (False, TWO, False)
    assert subject.environ["GPU_VISIBILITY_TEST"] == "1"


@pytest.mark.parametrize(
    ("nameless", "lost", "words"), [([], [], ""), ([0, 1], [], "which GPU 0 and 1 is"), ([0, 1], [1], "which GPU 0 is")]
)
def test_a_gpu_that_nobody_can_name_cannot_be_told_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nameless: list[int], lost: list[int], words: str
) -> None:
    gpus = tuple(
        dataclasses.replace(
            gpu,
            pci_bus_id="" if gpu.index in nameless else gpu.pci_bus_id,
            faults=frozenset({"lost"} if gpu.index in lost else ()),
        )
        for gpu in TWO.devices
    )
    found = dataclasses.replace(TWO, devices=gpus)
    monkeypatch.setattr(Inventory, "from_nvml", staticmethod(lambda: found))
    if not words:
        assert open_driver("real", tmp_path, first=True).hardware == found
        return
    with pytest.raises(UserError, match=words):
        open_driver("real", tmp_path, first=True)


# A server.


class WrittenLauncher:
    """Launches nothing: there is one record of every launch."""

    def __init__(self, record: LaunchRecord) -> None:
        self.record = record
        self.asked: list[Scenario] = []
        self.find = Inventory.load

    def launch(self, scenario: Scenario) -> LaunchRecord:
        self.asked.append(scenario)
        return self.record


def server(tmp_path: Path, record: LaunchRecord) -> tuple[ServerSubject, WrittenLauncher]:
    launcher = WrittenLauncher(record)
    subject = open_server(str(profile_of("none", tmp_path)), "a100x2", tmp_path, "1.0")
    return dataclasses.replace(subject, launcher=cast(Launcher, launcher)), launcher


def test_a_server_is_judged_that_starts_or_refuses(tmp_path: Path) -> None:
    workers = (process("worker", 0, "0", argv=("one", "two"), told_by="argv"), process("worker", 1, "1"))
    answered = {"0": "answered", "1": "answered"}
    subject, launcher = server(
        tmp_path, launched(*workers, process("launcher", None), seconds=1.24, requests=answered, visible="0,1")
    )
    assert subject.first_step == "starting twin 1.0 once without a mask, to see that it runs"
    assert subject.control().splitlines() == [
        "ready after 1.2 s",
        "  process 20: worker 0 (by argv), touched 0: one two",
        "  process 21: worker 1, touched 1: gone before it was seen",
        "  process 10: launcher, touched nothing: gone before it was seen",
    ]
    assert launcher.asked == [Scenario(inventory="a100x2", groups=2)]
    launcher.record = launched(outcome="exited", exit_code=1, seconds=0.31)
    assert subject.control() == "exited after 0.3 s"


@pytest.mark.parametrize("outcome", ["timeout", "waiting"])
@pytest.mark.parametrize(
    ("stdout", "stderr", "words"),
    [
        ("loading\n\n", "a warning\n", "loading"),
        ("", "a warning\n  no port  \n \n", "no port"),
        ("\n", "no port", "no port"),
        ("ready\n", "no port", "ready"),
        ("", "", "nothing"),
        ("x" * 300, "", "x" * 200),
    ],
)
def test_a_server_that_never_becomes_ready_is_not_judged(
    tmp_path: Path, outcome: str, stdout: str, stderr: str, words: str
) -> None:
    record = launched(outcome=outcome, seconds=15.4, stdout=stdout, stderr=stderr, command=("twin", "--port", "1"))
    subject, _ = server(tmp_path, record)
    with pytest.raises(UserError) as caught:
        subject.control()
    assert str(caught.value).startswith("twin 1.0 never became ready: 15 s after `twin --port 1` not every worker had ")
    assert f"It last wrote: {words}. Check [server].request" in str(caught.value)


def test_a_server_that_does_not_answer_its_request_is_not_judged(tmp_path: Path) -> None:
    subject, _ = server(tmp_path, launched(requests={"0": "answered", "1": "HTTP 500", "2": "HTTP 404"}))
    words = (
        f"twin 1.0 was ready, and did not answer what [server].request of the profile {subject.source} asks: HTTP 500."
    )
    with pytest.raises(UserError) as caught:
        subject.control()
    assert str(caught.value).startswith(words)


def test_a_server_is_what_its_profile_says(tmp_path: Path) -> None:
    path = profile_of("none", tmp_path)
    path.write_text(
        path.read_text().replace("[product]\n", '[product]\nurl = "https://example.org"\n')
        + '\n[[unsupported]]\nrule = "VIS-001"\nreason = "so"\nissue_url = "https://example.org/1"\n'
    )
    subject = open_server(str(path), "", tmp_path, None)
    assert (subject.family, subject.name, subject.version) == ("server", "twin", "1.0")
    assert (subject.url, subject.source) == ("https://example.org", str(path))
    assert subject.unsupported == (Unsupported("VIS-001", "so", "https://example.org/1"),)
    assert (subject.inventory, subject.inventory_is_chosen, subject.simulated) == ("a100x8", False, True)
    assert (subject.hardware, subject.answers(), subject.launches()) == (None, {}, {})


def test_what_is_done_before_the_first_launch_can_be_repeated_by_hand(tmp_path: Path) -> None:
    path = profile_of("none", tmp_path)
    path.write_text(path.read_text().replace("[server]\n", '[server]\nprepare = ["{python}", "{scratch}/x"]\n'))
    prepared = open_server(str(path), "", tmp_path, "1.0").preparation
    assert prepared == Preparation((sys.executable, f"{tmp_path}/scratch/x"), tmp_path / "scratch")
    assert open_server(str(profile_of("none", tmp_path)), "", tmp_path, "1.0").preparation.command == ()


def test_a_profile_and_an_inventory_are_found_by_those_who_know_their_names(tmp_path: Path) -> None:
    profile = load(str(profile_of("none", tmp_path)))
    asked: list[str] = []

    def find(name: str) -> Inventory:
        asked.append(name)
        return TWO

    def find_profile(name: str) -> Profile:
        asked.append(name)
        return profile

    subject = open_server("ours", "lab", tmp_path, "2.0", find_profile=find_profile, find_inventory=find)
    assert asked == ["ours", "lab"]
    assert (subject.source, subject.version, subject.inventory, subject.inventory_is_chosen) == (
        *("ours", "2.0", "lab"),
        True,
    )
    assert (subject.machine("elsewhere"), asked[2:]) == (TWO, ["elsewhere"])


def test_an_inventory_that_does_not_exist_is_a_mistake_before_anything_is_launched(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a100x9"):
        open_server(str(profile_of("none", tmp_path)), "a100x9", tmp_path, "1.0")


def test_a_server_on_the_machines_own_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inventory, "from_nvml", staticmethod(lambda: TWO))
    profile = str(profile_of("none", tmp_path))
    subject = open_server(profile, "real", tmp_path, "1.0")
    assert (subject.inventory, subject.simulated, subject.hardware) == ("real", False, TWO)
    assert (subject.machine("real"), subject.machine("mig")) == (TWO, MIG)
    assert subject.launcher.hardware == TWO
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES=0 is set"):
        open_server(profile, "real", tmp_path, "1.0")


def test_the_witness_of_a_launch_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    watched: list[LedgerWitness] = []

    def witness(machine: Any) -> LedgerWitness:
        watched.append(LedgerWitness(machine))
        return watched[-1]

    subject = open_server(str(profile_of("none", tmp_path)), "a100x2", tmp_path, "1.0", witness=witness)
    assert subject.control().startswith("ready after ")
    assert len(watched) == 1
    assert [record.scenario.groups for record in subject.launches().values()] == [2]


ANSWERED = {"0": "answered", "1": "answered"}


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (launched(requests=ANSWERED), "saw 0 of 2 workers; [workers].worker tells them by argv."),
        (launched(process("worker", 0, "0"), requests=ANSWERED), "saw 1 of 2 workers; [workers].worker tells them by "),
        (
            launched(process("worker", 0), process("worker", None), unplaced=("process 9: group 2",)),
            "the profile numbers a worker that is in no group: process 9: group 2; groups are 0 to 1",
        ),
        (
            launched(process("worker", 0, "0"), process("worker", 1), touch_expected=True),
            "saw 1 of 2 workers touch a device, as they all did before.",
        ),
    ],
)
def test_a_profile_that_does_not_describe_what_is_seen_is_no_profile(
    tmp_path: Path, record: LaunchRecord, words: str
) -> None:
    subject, _ = server(tmp_path, record)
    with pytest.raises(UserError) as caught:
        subject.control()
    said = str(caught.value)
    assert said.startswith(f"twin 1.0 was ready after 1.0 s, and the profile {subject.source} does not describe what ")
    assert words in said
    assert all(f"process {process.pid}: " in said for process in record.processes)


def test_the_first_launch_asks_for_no_more_than_the_machine_has(tmp_path: Path) -> None:
    subject, launcher = server(tmp_path, launched(outcome="exited", exit_code=1))
    for inventory, groups in (("a100x1", 1), ("a100x8", 2), ("none", 1)):
        dataclasses.replace(subject, inventory=inventory).control()
        assert launcher.asked[-1] == Scenario(inventory=inventory, groups=groups)
