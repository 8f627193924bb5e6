"""What rules choose and expect, on launches written down by hand."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import pytest
from pytest_gpuvisibility.conformance.expect import (
    assert_as_driver,
    assert_fails_without_workers,
    assert_no_traceback,
    assert_not_a_bare_error,
    assert_says,
)
from pytest_gpuvisibility.conformance.launch import Gpus, renumbered, sliced, unequal
from pytest_gpuvisibility.conformance.telemetry import assert_reported

from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.records import Account, Evidence, LaunchRecord, ProcessRecord, Scenario
from pytest_gpuvisibility.suite import DoesNotApply, Violation

MIG = Gpus(Inventory.load("mig"), "mig")
WHOLE = MIG.devices[0].uuid
FIRST, SECOND = (unit.uuid for unit in MIG.devices[1].mig)
EQUAL = Gpus(Inventory.load("a100x8"), "a100x8")
UUIDS = [device.uuid for device in EQUAL.devices]


def fleet(scenario: Scenario, *touched: tuple[str, ...], **what: Any) -> LaunchRecord:
    """A launch whose workers touched these devices, pids from 100 on; without any, one that was refused."""
    workers = tuple(
        ProcessRecord(100 + group, 1, "worker", group, (), Account(Evidence.TOUCHED, uuids, uuids))
        for group, uuids in enumerate(touched)
    )
    plain = LaunchRecord(
        scenario=scenario,
        command=(),
        permitted=tuple(UUIDS[6:]),
        began=0.0,
        outcome="ready" if workers else "exited",
        seconds=1.0,
        exit_code=None if workers else 1,
        processes=workers,
        requests={},
        final_exit_code=None,
        farewell_seconds=0.0,
        survivors=(),
        reports_ready=False,
    )
    return dataclasses.replace(plain, **what)


TWO_SLICES = Scenario(inventory="mig", visible=f"{FIRST},{SECOND}", devices=2)


def test_where_the_driver_may_show_one_slice_or_two_both_are_as_the_driver() -> None:
    assert_as_driver(fleet(TWO_SLICES, (FIRST, SECOND)), MIG, 2)
    assert_as_driver(fleet(TWO_SLICES), MIG, 2)


def test_half_of_what_was_asked_for_is_not_as_the_driver() -> None:
    with pytest.raises(Violation, match=r"CUDA shows none, workers use 1/1/0 \(touched\)"):
        assert_as_driver(fleet(TWO_SLICES, (FIRST,), permitted=()), MIG, 2)


def test_what_the_driver_surely_shows_may_not_be_refused() -> None:
    with pytest.raises(Violation, match="does not start"):
        assert_as_driver(fleet(Scenario(inventory="mig", visible=FIRST)), MIG, 1)


def test_what_the_driver_surely_does_not_show_must_be_refused() -> None:
    mixed = Scenario(inventory="mig", visible=f"{WHOLE},{FIRST}", groups=2)
    assert_as_driver(fleet(mixed), MIG, 2)
    with pytest.raises(Violation, match="asks for more than it has"):
        assert_as_driver(fleet(mixed, (WHOLE,), (FIRST,)), MIG, 2)


def test_a_refusal_with_exit_code_0_is_none() -> None:
    with pytest.raises(Violation, match="exit code 0"):
        assert_as_driver(fleet(TWO_SLICES, exit_code=0), MIG, 2)


TRACEBACK = 'Traceback (most recent call last):\n  File "x"\n'


@pytest.mark.parametrize(
    ("stderr", "broken"),
    [
        (TRACEBACK + "OSError: libnvidia-ml.so.1: cannot open shared object file\n", True),
        (TRACEBACK + "pynvml.NVMLError_LibraryNotFound: NVML Shared Library Not Found\n", True),
        (TRACEBACK + "subprocess.CalledProcessError: Command '['nvidia-smi']' returned 12\n", True),
        (
            TRACEBACK + "OSError: no NVML\nerror: GPUs are monitored by NVML, which is missing; use --no-monitor\n",
            False,
        ),
        ("Error: NVML is missing\n", False),
    ],
)
def test_a_traceback_is_not_a_clear_error(stderr: str, broken: bool) -> None:
    refused = fleet(Scenario(), stderr=stderr)
    assert_not_a_bare_error(refused)
    if broken:
        with pytest.raises(Violation, match="ends in a traceback"):
            assert_no_traceback(refused)
    else:
        assert_no_traceback(refused)


def test_a_server_that_has_workers_again_goes_on_rightly() -> None:
    dead = fleet(Scenario(), (UUIDS[6],))
    with pytest.raises(Violation, match="goes on without any worker"):
        assert_fails_without_workers(dead)
    assert_fails_without_workers(dataclasses.replace(dead, revived=True))


def test_slices_have_numbers_and_labels_have_devices() -> None:
    assert MIG.indices([FIRST, WHOLE]) == "0 1/1/0"
    assert EQUAL.named(UUIDS[3]) is EQUAL.devices[3]
    assert EQUAL.named("0000:47:00.0") is EQUAL.devices[2]
    assert EQUAL.named("00000000:4E:00.0") is EQUAL.devices[3]
    assert EQUAL.named("3") is None
    assert (EQUAL.title(UUIDS[3]), EQUAL.title("3")) == ("3", "3")


@pytest.mark.parametrize(
    ("label", "true"),
    [(UUIDS[6], True), (UUIDS[7], False), ("6", True), ("0", True), ("1", False), (f"{UUIDS[6]}, {UUIDS[7]}", False)],
)
def test_a_reported_number_may_be_counted_in_any_way(label: str, true: bool) -> None:
    """The device of a worker on GPU 6 of the permitted 6 and 7."""
    one = fleet(Scenario(visible="6,7"), (UUIDS[6],))
    said = ({"group": "0", "device": UUIDS[7]}, {"group": "0", "device": label})  # the last word counts
    if true:
        assert_reported(one, EQUAL, said, {"0": 100})
    else:
        with pytest.raises(Violation, match="worker 0 uses 6, reported: "):
            assert_reported(one, EQUAL, said, {"0": 100})


def shipped(name: str) -> Gpus:
    return Gpus(Inventory.load(name), name)


def test_rules_take_the_machine_at_hand_where_it_will_do() -> None:
    for choose, special in ((renumbered, "container"), (unequal, "mixed4")):
        at_hand = dataclasses.replace(shipped(special), source="at hand")
        assert choose(at_hand, shipped) is at_hand
        assert choose(EQUAL, shipped).source == special
    assert sliced(MIG, shipped, 2)[0] is MIG
    assert sliced(EQUAL, shipped, 2)[0].source == "mig"
    with pytest.raises(DoesNotApply, match="needs 3 MIG slices; mig has 2"):
        sliced(EQUAL, shipped, 3)


FRAMES = 'Traceback (most recent call last):\n  File "x.py", line 4, in load\n    self.read(2)\n'


@pytest.mark.parametrize(
    ("stderr", "says"),
    [
        ("asked for 4 GPUs, only 2 are visible", True),
        (f"{FRAMES}RuntimeError: 4 devices are asked for\navailable: 2", True),
        (f"{FRAMES}RuntimeError: invalid device", False),
        (f"{FRAMES}FileNotFoundError: [Errno 2] no device for group 4", False),
        ("4 groups: no device for cuda:2", False),
        ("GPUs: 4.0 of 2", False),
    ],
)
def test_numbers_count_where_they_are_said_to_a_person(stderr: str, says: bool) -> None:
    refusal = fleet(Scenario(visible="2,3", groups=2, devices=2), outcome="exited", exit_code=1, stderr=stderr)
    with contextlib.nullcontext() if says else pytest.raises(Violation, match="does not name"):
        assert_says(refusal, "4", "2")
