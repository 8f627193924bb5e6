"""What rules expect of the processes of a fleet towards each other, held against fleets that are made up."""

from __future__ import annotations

import contextlib

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
from pytest_gpuvisibility.conformance.launch import Gpus
from written_launches import GPUS, UUIDS, process, uuids, violation_of
from written_launches import launched as fleet

from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.suite import MUST, DoesNotApply, Violation

HEADLINE_OF_LATE_MASKS = "sets a mask after CUDA has read it"


def test_a_group_has_what_it_touched_while_it_started() -> None:
    assert groups(fleet(process("worker", 0, "4", late="5"))) == {0: {UUIDS[4]}}


def test_without_times_a_group_has_all_that_it_touched() -> None:
    assert groups(fleet(process("worker", 0, "45", touched_at=()))) == {0: {UUIDS[4], UUIDS[5]}}


def test_a_late_device_is_a_leak() -> None:
    assert_nothing_leaks(fleet(process("worker", 0, "4"), process("worker", 1, "5")), GPUS)
    leaking = fleet(process("worker", 0, "4"), process("worker", 1, "5", late="4"))
    broken = violation_of(assert_nothing_leaks, leaking, GPUS)
    assert broken.headline == "opens a device that is not its group's"
    assert broken.facts[1] == "worker 1 (process 21) has 5, and then touches 4"
    child = fleet(process("worker", 0, "4"), process("other", 0, late="5", pid=30))
    assert violation_of(assert_nothing_leaks, child, GPUS).facts[1] == "other 0 (process 30) has 4, and then touches 5"


def test_only_a_group_can_leak() -> None:
    strangers = (process("launcher", None, late="6"), process("other", None, late="7", pid=31))
    assert_nothing_leaks(fleet(process("worker", 0, "4"), *strangers), GPUS)
    assert_nothing_leaks(fleet(process("worker", None, "4", pid=30), process("launcher", None, "6")), GPUS)


def test_a_launcher_opens_nothing_that_is_not_allowed() -> None:
    workers = [process("worker", 0, "4"), process("worker", 1, "5")]
    assert_only_workers_open_devices(fleet(process("launcher", None), *workers), GPUS, allowed=False)
    with_context = fleet(process("launcher", None, "4"), *workers)
    assert_only_workers_open_devices(with_context, GPUS, allowed=True)
    broken = violation_of(assert_only_workers_open_devices, with_context, GPUS, allowed=False)
    assert broken.headline == "opens a device in a process that is no worker"
    assert (broken.facts[1], broken.level) == ("launcher (process 10) touches 4", None)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_device_that_no_group_has_is_never_allowed(allowed: bool) -> None:
    beyond = fleet(process("balancer", None, "6"), process("worker", 0, "4"))
    broken = violation_of(assert_only_workers_open_devices, beyond, GPUS, allowed=allowed)
    assert broken.headline == "opens a device that no group has in a process that is no worker"
    assert (broken.facts[1], broken.level) == ("balancer (process 10) touches 6", MUST)


def test_what_workers_and_their_children_open_is_another_rules_matter() -> None:
    of_groups = (process("worker", 0, "4"), process("other", 0, "6", pid=30), process("worker", None, late="7", pid=31))
    assert_only_workers_open_devices(fleet(*of_groups), GPUS, allowed=False)


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
    assert violation_of(assert_masks_are_not_set_late, fleet(worker), GPUS).headline == HEADLINE_OF_LATE_MASKS


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("4,5", "4", "cuInit read '4,5' and shows 4 5; at its first context the mask was '4', which would be 4"),
        (None, "", "cuInit read no mask and shows 4 5; at its first context the mask was '', which would be none"),
        ("4", None, "cuInit read '4' and shows 4 5; at its first context the mask was no mask, which would be 0 1 2 3"),
    ],
)
def test_both_masks_are_told(before: str | None, after: str | None, words: str) -> None:
    worker = process("worker", 0, "45", visible=before, remasked=((after, None),))
    broken = violation_of(assert_masks_are_not_set_late, fleet(worker), GPUS)
    assert broken.facts[1].startswith(f"worker 0 (process 20): {words}")


def test_an_order_that_is_set_late_counts_where_it_means_other_devices() -> None:
    mixed = Gpus(Inventory.load("mixed4"), "mixed4")
    first, fastest = mixed.devices[0].uuid, mixed.devices[2].uuid
    for shown, broken in ((first, False), (fastest, True)):
        worker = process("worker", 0, touched=(shown,), shown=(shown,), remasked=(("0", "PCI_BUS_ID"),))
        with pytest.raises(Violation) if broken else contextlib.nullcontext():
            assert_masks_are_not_set_late(fleet(worker), mixed)


def test_nobody_can_say_that_a_mask_was_late_who_does_not_know_what_was_shown() -> None:
    worker = process("worker", 0, "4", shown=None, remasked=(("5", None),))
    assert_masks_are_not_set_late(fleet(worker), GPUS)


def test_servers_meet_where_any_of_their_processes_do() -> None:
    one = fleet(process("worker", 0, "4"), visible="4,5")
    idle = process("launcher", None, shown=uuids("4"))
    for apart in (
        process("worker", 0, "6"),
        idle,
        process("worker", 0, shown=None),
        process("worker", 0, shown=uuids("45")),
    ):
        assert_apart(one, fleet(apart, visible="6,7"), GPUS)
    for other in (process("worker", 0, "4"), process("launcher", None, "4"), process("worker", 0, shown=(UUIDS[4],))):
        broken = violation_of(assert_apart, one, fleet(other, visible="6,7"), GPUS)
        assert broken.headline == "two servers meet on one GPU"
        assert broken.facts[1] == "both use 4; the first was given 4 5, the second 6 7"


def test_a_second_model_may_be_where_its_own_group_is() -> None:
    first, second = process("worker", 0, "4", late="4"), process("worker", 1, "5")
    child = process("other", 0, late="4", pid=30)
    others = (process("launcher", None, "4"), process("other", None, "5", pid=32))
    assert_second_model_apart(fleet(first, second, child, *others), GPUS)
    new = process("worker", None, late="5", pid=31)
    for processes, words in (
        ((first, second, new), "worker 1 (process 21) and worker (process 31) both touch 5"),
        (
            (first, second, process("other", 0, late="5", pid=31)),
            "worker 1 (process 21) and other 0 (process 31) both touch 5",
        ),
        (
            (first, new, process("worker", None, late="5", pid=32)),
            "worker (process 31) and worker (process 32) both touch 5",
        ),
    ):
        broken = violation_of(assert_second_model_apart, fleet(*processes), GPUS)
        assert broken.headline == "puts a second model on another group's device"
        assert broken.facts[1] == words


def test_peers_are_of_the_group() -> None:
    own = process("worker", 0, "45", peers=(UUIDS[5],))
    assert_peers_in_group(fleet(own), GPUS)
    broken = violation_of(assert_peers_in_group, fleet(process("worker", 0, "4", peers=(UUIDS[5],))), GPUS)
    assert broken.headline == "connects a device of one group with one outside it"
    assert broken.facts[1] == "worker 0 (process 20) has 4, and reaches 5"
    with pytest.raises(DoesNotApply, match="nobody can see"):
        assert_peers_in_group(fleet(process("worker", 0, "45", peers=None)), GPUS)


def test_nothing_can_be_said_where_nothing_was_opened() -> None:
    needs_opened_devices(fleet(process("launcher", None), process("worker", 0, "4")))
    with pytest.raises(DoesNotApply, match="no process opened a device"):
        needs_opened_devices(fleet(process("worker", 0), process("launcher", None)))
