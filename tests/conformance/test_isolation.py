"""What rules expect of the processes of a fleet towards each other, held against fleets that are made up."""

from __future__ import annotations

import pytest
from pytest_gpuvisibility.conformance.expect import groups
from pytest_gpuvisibility.conformance.isolation import (
    assert_apart,
    assert_masks_are_not_set_late,
    assert_nothing_leaks,
    assert_only_workers_open_devices,
    assert_peers_in_group,
    assert_second_model_apart,
    needs_opened_devices,
)
from written_launches import GPUS, UUIDS, process
from written_launches import launched as fleet

from pytest_gpuvisibility.suite import MUST, NotApplicable, Violation


def test_a_group_has_what_it_touched_while_it_started() -> None:
    assert groups(fleet(process("worker", 0, "4", late="5"))) == {0: {UUIDS[4]}}


def test_without_times_a_group_has_all_that_it_touched() -> None:
    assert groups(fleet(process("worker", 0, "45", touched_at=()))) == {0: {UUIDS[4], UUIDS[5]}}


def test_a_late_device_is_a_leak() -> None:
    assert_nothing_leaks(fleet(process("worker", 0, "4"), process("worker", 1, "5")), GPUS)
    with pytest.raises(Violation, match="opens a device that is not its group's") as caught:
        assert_nothing_leaks(fleet(process("worker", 0, "4"), process("worker", 1, "5", late="4")), GPUS)
    assert caught.value.facts[1] == "worker 1 (process 21) has 5, and then touches 4"


def test_a_launcher_opens_nothing_that_is_not_allowed() -> None:
    workers = [process("worker", 0, "4"), process("worker", 1, "5")]
    assert_only_workers_open_devices(fleet(process("launcher", None), *workers), GPUS, allowed=False)
    with_context = fleet(process("launcher", None, "4"), *workers)
    assert_only_workers_open_devices(with_context, GPUS, allowed=True)
    with pytest.raises(Violation, match="in a process that is no worker") as caught:
        assert_only_workers_open_devices(with_context, GPUS, allowed=False)
    assert caught.value.level is None


@pytest.mark.parametrize("allowed", [True, False])
def test_a_device_that_no_group_has_is_never_allowed(allowed: bool) -> None:
    beyond = fleet(process("balancer", None, "6"), process("worker", 0, "4"))
    with pytest.raises(Violation, match="that no group has") as caught:
        assert_only_workers_open_devices(beyond, GPUS, allowed=allowed)
    assert caught.value.level is MUST


@pytest.mark.parametrize(
    ("shown", "remasked", "late"),
    [
        ("4567", (), False),
        ("4567", (("4", None),), True),
        ("4567", (("4,5,6,7", "PCI_BUS_ID"),), False),
        ("4", ((UUIDS[4], None),), False),
        ("4", ((None, None),), True),
    ],
)
def test_a_late_mask_counts_where_it_means_other_devices(
    shown: str, remasked: tuple[tuple[str | None, str | None], ...], late: bool
) -> None:
    worker = process("worker", 0, "4", shown=tuple(UUIDS[int(index)] for index in shown), remasked=remasked)
    if not late:
        assert_masks_are_not_set_late(fleet(worker), GPUS)
        return
    with pytest.raises(Violation, match="sets a mask after CUDA has read it"):
        assert_masks_are_not_set_late(fleet(worker), GPUS)


def test_servers_meet_where_any_of_their_processes_do() -> None:
    one = fleet(process("worker", 0, "4"), visible="4,5")
    assert_apart(one, fleet(process("worker", 0, "6"), visible="6,7"), GPUS)
    for other in (process("worker", 0, "4"), process("launcher", None, "4"), process("worker", 0, shown=(UUIDS[4],))):
        with pytest.raises(Violation, match="two servers meet") as caught:
            assert_apart(one, fleet(other, visible="6,7"), GPUS)
        assert caught.value.facts[1] == "both use 4; the first was given 4 5, the second 6 7"


def test_a_second_model_may_be_where_its_own_group_is() -> None:
    first, second = process("worker", 0, "4", late="4"), process("worker", 1, "5")
    child = process("other", 0, late="4", pid=30)
    assert_second_model_apart(fleet(first, second, child, process("launcher", None, "4")), GPUS)
    for stranger in (process("worker", None, late="5", pid=31), process("other", 0, late="5", pid=31)):
        with pytest.raises(Violation, match="puts a second model on another group's device"):
            assert_second_model_apart(fleet(first, second, stranger), GPUS)


def test_peers_are_of_the_group() -> None:
    own = process("worker", 0, "45", peers=(UUIDS[5],))
    assert_peers_in_group(fleet(own), GPUS)
    with pytest.raises(Violation, match="connects a device of one group with one outside it"):
        assert_peers_in_group(fleet(process("worker", 0, "4", peers=(UUIDS[5],))), GPUS)
    with pytest.raises(NotApplicable, match="nobody can see"):
        assert_peers_in_group(fleet(process("worker", 0, "45", peers=None)), GPUS)


def test_nothing_can_be_said_where_nothing_was_opened() -> None:
    needs_opened_devices(fleet(process("worker", 0, "4")))
    with pytest.raises(NotApplicable, match="no process opened a device"):
        needs_opened_devices(fleet(process("worker", 0), process("launcher", None)))
