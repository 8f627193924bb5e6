"""The office that hands out devices: to several threads of demand, in one process and in many."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from simulated_programs import python

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.host import LockFile
from pytest_gpuvisibility.inventory import AnyDevice
from pytest_gpuvisibility.lease import Lease, LeaseOffice, LeaseTimeout, TooFewDevices

LONG = 60.0
A100X4 = Inventory.load("a100x4")


@pytest.fixture
def office(tmp_path: Path) -> LeaseOffice:
    return LeaseOffice(A100X4.devices, tmp_path)


def indices(lease: Lease) -> list[int]:
    return [device.index for device in lease.devices]


class Taker:
    """Another process that asks for devices."""

    def __init__(self, directory: Path, count: int) -> None:
        self.process = subprocess.Popen(
            python("leases/taker.py", str(directory), str(count)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.line() == "asking"

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.communicate("")


def test_leases_are_disjoint_and_come_back(office: LeaseOffice) -> None:
    with office.take(1, 0) as first, office.take(2, 0) as second:
        assert (indices(first), indices(second)) == ([0], [1, 2])
        with pytest.raises(LeaseTimeout):
            office.take(2, 0)
        last = office.take(1, 0)
        assert indices(last) == [3]
        last.release()
        last.release()
    with office.take(4, 0) as everything:
        assert indices(everything) == [0, 1, 2, 3]


def test_nothing_is_left_and_nothing_is_taken_for_none(office: LeaseOffice, tmp_path: Path) -> None:
    with office.take(0, 0) as nothing, office.take(4, 0):
        assert nothing.devices == ()
    assert list(tmp_path.iterdir()) == []


def test_the_first_choice_and_the_order_of_what_is_given(office: LeaseOffice) -> None:
    with office.take(2, 0, first=3) as lease:
        assert indices(lease) == [0, 3]


def test_only_permitted_devices_in_their_order(tmp_path: Path) -> None:
    permitted = [A100X4.devices[3], A100X4.devices[1]]
    with LeaseOffice(permitted, tmp_path).take(2, 0) as lease:
        assert indices(lease) == [3, 1]


def test_asking_for_more_than_there_are_does_not_wait(office: LeaseOffice) -> None:
    with pytest.raises(TooFewDevices, match=r"needs 5 GPUs, but only 4 are permitted"):
        office.take(5, LONG)


def test_gpus_and_slices_are_not_mixed_but_where_all_are_asked_for(tmp_path: Path) -> None:
    machine = Inventory.load("mig")
    units: list[AnyDevice] = [machine.devices[0], *machine.devices[1].mig]
    office = LeaseOffice(units, tmp_path)
    with office.take(2, 0) as slices, office.take(1, 0) as gpu:
        assert slices.devices == machine.devices[1].mig
        assert gpu.devices == machine.devices[:1]
    with office.take(3, 0) as everything:
        assert list(everything.devices) == units
    with pytest.raises(TooFewDevices, match="only 2 of one kind are permitted"):
        LeaseOffice([*units, A100X4.devices[0]], tmp_path).take(3, 0)


def test_whoever_waited_in_vain_is_told_who_holds_what(office: LeaseOffice) -> None:
    with (
        office.take(3, 0),
        pytest.raises(
            LeaseTimeout, match=r"waited 0.02 s for 2 GPUs of the 4 permitted; held: GPU 0 by process \d+ \("
        ),
    ):
        office.take(2, 0.02)


def test_a_lease_can_be_divided(office: LeaseOffice, tmp_path: Path) -> None:
    with office.take(2, 0) as lease:
        inner = LeaseOffice(lease.devices, tmp_path, lease.scope)
        with inner.take(1, 0) as one, inner.take(1, 0) as other:
            assert indices(one) + indices(other) == indices(lease)


def test_another_process_waits_until_the_devices_come_back(office: LeaseOffice, tmp_path: Path) -> None:
    with office.take(3, 0):
        taker = Taker(tmp_path, 2)
        while not stands_in_the_queue(tmp_path):
            assert taker.process.poll() is None
    given = taker.line().split()  # those that came back first, or GPU 3
    assert len(given) == len(set(given)) == 2
    taker.end()


def test_a_killed_process_gives_its_devices_back(office: LeaseOffice, tmp_path: Path) -> None:
    taker = Taker(tmp_path, 4)
    assert taker.line() == "0 1 2 3"
    with pytest.raises(LeaseTimeout):
        office.take(1, 0)
    taker.process.kill()
    taker.process.communicate()
    with office.take(4, 0) as lease:
        assert indices(lease) == [0, 1, 2, 3]
    assert list(tmp_path.iterdir()) == []


def stands_in_the_queue(directory: Path) -> bool:
    """Whether somebody holds a ticket. One that is not locked yet is no place in the queue: its owner makes another."""
    locks = [LockFile.acquire(path) for path in directory.glob("*.ticket")]
    for lock in locks:
        if lock is not None:
            lock.release()
    return None in locks


def test_a_request_for_many_is_not_overtaken(office: LeaseOffice, tmp_path: Path) -> None:
    held = office.take(1, 0)
    taker = Taker(tmp_path, 4)
    while not stands_in_the_queue(tmp_path):
        assert taker.process.poll() is None
    with pytest.raises(LeaseTimeout):
        office.take(1, 0.05)
    held.release()
    assert taker.line() == "0 1 2 3"
    taker.end()


def test_a_request_that_is_killed_leaves_the_queue(office: LeaseOffice, tmp_path: Path) -> None:
    held = office.take(1, 0)
    taker = Taker(tmp_path, 4)
    while not stands_in_the_queue(tmp_path):
        assert taker.process.poll() is None
    taker.process.kill()
    taker.process.communicate()
    with office.take(3, 0) as rest:
        assert indices(rest) == [1, 2, 3]
    held.release()
    assert list(tmp_path.iterdir()) == []
