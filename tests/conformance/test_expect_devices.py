"""What rules expect of which devices a fleet uses, on launches written down by hand."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pytest_gpuvisibility.conformance.expect import (
    assert_as_driver,
    assert_groups_disjoint,
    assert_groups_in_order,
    assert_masks_only_narrow,
    assert_no_sharing,
    assert_nothing_used,
    assert_total_used,
    assert_uses_count,
    assert_uses_exactly,
    assert_within,
    evidence,
    groups,
    shares_as_declared,
    used_by_workers,
)
from pytest_gpuvisibility.conformance.launch import Gpus
from written_launches import GPUS, launched, process, refused, uuids, violation_of

from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.profile import Supports
from pytest_gpuvisibility.records import Evidence, LaunchRecord, ProcessRecord, Scenario
from pytest_gpuvisibility.suite import DoesNotApply, Unjudged

LAUNCH = "CUDA_VISIBLE_DEVICES=4,5,6,7, 2 groups of 1"


def shown(role: str, group: int | None, indices: str | None, **facts: Any) -> ProcessRecord:
    """A process that touched nothing, and is shown these devices; None: nobody knows."""
    return process(role, group, shown=None if indices is None else uuids(indices), **facts)


# A process has no more than its parent.

LAUNCHER = shown("launcher", None, "4567")


@pytest.mark.parametrize(
    "others",
    [
        [],
        [shown("worker", 0, "4", ppid=10), shown("worker", 1, "75", ppid=10)],
        [shown("worker", 0, "4567", ppid=10), shown("other", 0, "6", pid=30, ppid=20)],
        [shown("worker", 0, "", ppid=10), shown("other", 0, "", pid=30, ppid=20)],
        [shown("worker", 0, None, ppid=10), shown("other", 0, "45", pid=30, ppid=20)],
        [shown("worker", 0, "4", ppid=1)],
    ],
    ids=["no child", "parts", "a part of the whole", "nothing", "a parent that nobody could ask", "a parent unknown"],
)
def test_masks_may_narrow(others: list[ProcessRecord]) -> None:
    assert_masks_only_narrow(launched(LAUNCHER, *others), GPUS)


@pytest.mark.parametrize(
    ("others", "fact"),
    [
        (
            [shown("worker", 0, "4", ppid=10), shown("other", 0, "45", pid=30, ppid=20)],
            "other 0 is shown 4 5 (probed), its parent 4",
        ),
        (
            [process("worker", 0, "4", ppid=10), process("worker", 1, "5", pid=30, ppid=20)],
            "worker 1 is shown 5 (touched), its parent 4",
        ),
        (
            [shown("worker", 0, "", ppid=10), shown("balancer", None, "7", pid=30, ppid=20)],
            "balancer is shown 7 (probed), its parent none",
        ),
        ([shown("worker", 0, "40", ppid=10)], "worker 0 is shown 0 4 (probed), its parent 4 5 6 7"),
        (
            [shown("worker", 0, None, ppid=10), shown("other", 0, "3", pid=30, ppid=20)],
            "other 0 is shown 3 (probed), its parent 4 5 6 7",
        ),
        (
            [shown("other", None, "5", pid=15, ppid=10), shown("worker", 0, "6", ppid=15)],
            "worker 0 is shown 6 (probed), its parent 5",
        ),
    ],
    ids=["all of the launch's", "another's", "what it lacks", "beyond the launch", "parent not asked", "three deep"],
)
def test_a_process_that_is_shown_more_than_its_parent_is_none_that_narrows(
    others: list[ProcessRecord], fact: str
) -> None:
    broken = violation_of(assert_masks_only_narrow, launched(LAUNCHER, *others), GPUS)
    assert broken.headline == "gives a process GPUs that its parent does not have"
    assert broken.facts == (LAUNCH, fact)


def test_the_launcher_is_held_to_what_is_permitted() -> None:
    broken = violation_of(assert_masks_only_narrow, launched(shown("launcher", None, "34")), GPUS)
    assert broken.facts[1] == "launcher is shown 3 4 (probed), its parent 4 5 6 7"


def test_masks_are_judged_of_a_server_that_starts() -> None:
    broken = violation_of(assert_masks_only_narrow, refused(processes=(LAUNCHER,)), GPUS)
    assert broken.headline == "does not start although its GPUs are there"


# What is used is what was given.


@pytest.mark.parametrize(
    "processes",
    [
        [process("worker", 0, "4"), process("launcher", None, "7")],
        [shown("worker", 0, "4")],
        [shown("worker", 0, "40")],
        [shown("worker", 0, None)],
        [shown("launcher", None, "0"), shown("balancer", None, "0123")],
        [shown("worker", 0, "4", late="4")],
    ],
    ids=["permitted", "bound", "may bind what is permitted", "unknown", "shown, not used", "later"],
)
def test_what_is_not_used_is_not_taken(processes: list[ProcessRecord]) -> None:
    assert_within(launched(*processes), GPUS)


@pytest.mark.parametrize(
    ("processes", "fact"),
    [
        ([process("worker", 0, "40"), process("worker", 1, "5")], "permitted 4 5 6 7, used 0 4 5 (touched)"),
        ([process("worker", 0, "4", late="3")], "permitted 4 5 6 7, used 3 4 (touched)"),
        ([process("worker", 0, "4"), process("launcher", None, "0")], "permitted 4 5 6 7, used 0 4 (touched)"),
        ([shown("worker", 0, "0")], "permitted 4 5 6 7, workers would use 0 (probed)"),
        ([shown("worker", 0, "01")], "permitted 4 5 6 7, workers would use 0 1 (probed)"),
        ([process("worker", 0, "4"), shown("worker", 1, "0")], "permitted 4 5 6 7, workers would use 0 4 (probed)"),
        ([process("worker", 0, "0", shown=uuids("0123"))], "permitted 4 5 6 7, used 0 (touched)"),
        (
            [shown("worker", 0, None), process("other", 0, "0", pid=30)],
            "permitted 4 5 6 7, workers would use 0 (probed)",
        ),
    ],
    ids=[
        *("beside its own", "later", "by the launcher", "bound", "whichever it binds", "the second"),
        *("less than it is shown", "by its child"),
    ],
)
def test_what_was_not_given_is_taken(processes: list[ProcessRecord], fact: str) -> None:
    broken = violation_of(assert_within, launched(*processes), GPUS)
    assert (broken.headline, broken.facts) == ("takes GPUs it was not given", (LAUNCH, fact))


def test_less_may_be_allowed_than_is_permitted() -> None:
    fleet = launched(process("worker", 0, "4"), process("worker", 1, "5"))
    assert_within(fleet, GPUS, allowed=uuids("45"))
    broken = violation_of(assert_within, fleet, GPUS, allowed=uuids("4"))
    assert broken.facts[1] == "permitted 4, used 4 5 (touched)"


def test_nothing_is_used_where_nobody_touches_or_is_bound() -> None:
    assert_nothing_used(refused(processes=(shown("launcher", None, "4"), shown("worker", 0, ""))), GPUS)
    for process_ in (process("launcher", None, "4"), shown("worker", 0, "4"), shown("worker", 0, "45")):
        broken = violation_of(assert_nothing_used, refused(processes=(process_,)), GPUS)
        assert broken.facts[1].startswith("permitted none, ")


def test_the_devices_are_the_ones_that_were_given() -> None:
    both = launched(process("worker", 0, "5"), process("worker", 1, "4"))
    assert_uses_exactly(both, GPUS, uuids("45"))
    for given in ("4", "46", "456"):
        broken = violation_of(assert_uses_exactly, both, GPUS, uuids(given))
        assert broken.headline == "does not use the GPUs it was given"
        assert broken.facts == (LAUNCH, f"permitted {' '.join(given)}, used 4 5 (touched)")
    assert (
        violation_of(assert_uses_exactly, refused(), GPUS, ()).headline == "does not start although its GPUs are there"
    )
    stray = launched(process("worker", 0, "4"), process("launcher", None, "0"))
    assert violation_of(assert_uses_exactly, stray, GPUS, uuids("4")).headline == "takes GPUs it was not given"


def test_any_devices_will_do_where_only_their_number_counts() -> None:
    fleet = launched(process("worker", 0, "0"), process("worker", 1, "3"), process("launcher", None, "7"))
    assert_uses_count(fleet, GPUS, 2)
    for count in (1, 3):
        broken = violation_of(assert_uses_count, fleet, GPUS, count)
        assert broken.headline == f"uses 2 GPUs where {count} were asked for"
        assert broken.facts == (LAUNCH, "permitted 4 5 6 7, used 0 3 7 (touched)")
    assert "does not start" in violation_of(assert_uses_count, refused(), GPUS, 0).headline


def test_all_processes_count_where_the_total_is_asked_for() -> None:
    fleet = launched(process("worker", 0, "4"), process("other", None, "5"), shown("launcher", None, "6"))
    assert_total_used(fleet, GPUS, 2)
    for count in (1, 3):
        broken = violation_of(assert_total_used, fleet, GPUS, count)
        assert broken.headline == f"uses 2 GPUs where {count} were asked for"
        assert broken.facts == (LAUNCH, "permitted 4 5 6 7, used 4 5 (touched)")
    assert "does not start" in violation_of(assert_total_used, refused(), GPUS, 0).headline
    by_its_child = launched(shown("worker", 0, "45"), process("other", 0, "5", pid=30))
    assert_total_used(by_its_child, GPUS, 1)
    with pytest.raises(DoesNotApply):
        assert_total_used(launched(shown("worker", 0, "45")), GPUS, 0)
    with pytest.raises(Unjudged):
        assert_total_used(launched(shown("worker", 0, "45"), touch_expected=True), GPUS, 0)


# What the driver shows.


@pytest.mark.parametrize(
    ("fleet", "headline"),
    [
        (launched(process("worker", 0, "4"), process("worker", 1, "5")), None),
        (launched(process("worker", 0, "5"), process("worker", 1, "4")), None),
        (launched(process("worker", 0, "4"), process("worker", 1, "6")), "does not use what CUDA shows"),
        (launched(process("worker", 0, "4")), "does not use what CUDA shows"),
        (refused(), "does not start although its GPUs are there"),
    ],
)
def test_the_first_devices_that_cuda_shows_are_used(fleet: LaunchRecord, headline: str | None) -> None:
    if headline is None:
        assert_as_driver(fleet, GPUS, 2)
    else:
        assert violation_of(assert_as_driver, fleet, GPUS, 2).headline == headline


def test_what_cuda_shows_is_told_beside_what_is_used() -> None:
    broken = violation_of(assert_as_driver, launched(shown("worker", 0, "6"), visible="4,5"), GPUS, 1)
    assert broken.facts[1] == "CUDA shows 4 5, workers use 6 (probed)"


def test_the_order_of_devices_is_that_of_the_launch() -> None:
    """On unequal GPUs, ordinal 0 is the fastest, or the first by PCI."""
    mixed = Gpus(Inventory.load("mixed4"), "mixed4")
    names = [device.uuid for device in mixed.devices]
    for order, index in ((None, 2), ("PCI_BUS_ID", 0)):
        scenario = Scenario(inventory="mixed4", visible="0", device_order=order)
        worker = process("worker", 0, "4", touched=(names[index],), shown=(names[index],))
        assert_as_driver(launched(worker, scenario=scenario), mixed, 1)


# Groups.


def test_worker_i_uses_the_ith_device_of_the_list() -> None:
    in_order = launched(process("worker", 1, "4"), process("worker", 0, "6"))
    assert_groups_in_order(in_order, GPUS, uuids("64"))
    for wrong in ("46", "65", "645"):
        broken = violation_of(assert_groups_in_order, in_order, GPUS, uuids(wrong))
        assert broken.headline == "does not keep the order of its list"
        assert broken.facts == (LAUNCH, f"groups have 4 | 6; asked for {' | '.join(wrong)}")
    with_more = launched(process("worker", 0, "67"))
    assert violation_of(assert_groups_in_order, with_more, GPUS, uuids("6")).facts[1].startswith("groups have 6 7;")
    assert "does not start" in violation_of(assert_groups_in_order, refused(), GPUS, ()).headline


def test_no_two_groups_have_a_device_in_common_and_each_has_as_many_as_asked() -> None:
    apart = launched(process("worker", 0, "45"), process("worker", 1, "67"))
    assert_groups_disjoint(apart, GPUS, 2)
    broken = violation_of(assert_groups_disjoint, apart, GPUS, 1)
    assert broken.headline == "gives a group the wrong number of GPUs"
    assert broken.facts == (LAUNCH, "1 each; groups have 4 5 | 6 7")
    unlike = launched(process("worker", 0, "45"), process("worker", 1, "6"))
    assert violation_of(assert_groups_disjoint, unlike, GPUS, 2).headline == "gives a group the wrong number of GPUs"
    overlapping = launched(process("worker", 0, "45"), process("worker", 1, "56"))
    broken = violation_of(assert_groups_disjoint, overlapping, GPUS, 2)
    assert broken.headline == "gives one GPU to two groups"
    assert broken.facts == (LAUNCH, "groups have 4 5 | 5 6")
    assert "does not start" in violation_of(assert_groups_disjoint, refused(), GPUS, 1).headline


def test_groups_that_share_are_seen_whether_the_server_started_or_not() -> None:
    shared = (process("worker", 0, "4"), process("worker", 1, "4"))
    for fleet in (launched(*shared), refused(processes=shared)):
        broken = violation_of(assert_no_sharing, fleet, GPUS)
        assert broken.headline == "lets two groups share a GPU"
        assert broken.facts == (LAUNCH, "permitted 4 5 6 7, used 4 (touched)")
    assert_no_sharing(launched(process("worker", 0, "4"), process("worker", 1, "5")), GPUS)
    assert_no_sharing(refused(), GPUS)


def test_a_group_is_its_worker_and_what_the_worker_started() -> None:
    child = process("other", 0, "5", pid=30, ppid=20)
    neighbour = process("worker", 1, "6")
    apart = (process("balancer", 0, "7", pid=40), process("launcher", None, "7"), process("other", None, "7", pid=41))
    fleet = launched(process("worker", 0, "4"), child, neighbour, *apart)
    assert groups(fleet) == {0: set(uuids("45")), 1: set(uuids("6"))}
    assert used_by_workers(fleet) == set(uuids("456"))


@pytest.mark.parametrize(
    ("processes", "found"),
    [
        ([shown("worker", 0, "4")], {0: "4"}),
        ([shown("worker", 0, "")], {0: ""}),
        ([shown("worker", 0, "4"), shown("other", 0, "45", pid=30)], {0: "4"}),
        ([shown("worker", 0, "45"), process("other", 0, "5", pid=30)], {0: "5"}),
        ([shown("worker", 0, None), process("worker", 0, "6", pid=30)], {0: "6"}),
        ([process("worker", 0, late="6", shown=uuids("45"))], {0: "6"}),
    ],
    ids=["bound", "on no device", "bound itself", "bound by its child", "a second worker", "only later"],
)
def test_a_group_that_touched_nothing_has_what_it_is_bound_to(
    processes: list[ProcessRecord], found: Mapping[int, str]
) -> None:
    assert groups(launched(*processes)) == {group: set(uuids(indices)) for group, indices in found.items()}


@pytest.mark.parametrize("indices", ["45", None])
def test_nobody_can_say_which_device_a_worker_binds_that_is_shown_several(indices: str | None) -> None:
    with pytest.raises(Unjudged, match="nobody can say which it binds"):
        groups(launched(process("worker", 0, "4"), shown("worker", 1, indices)))
    two_each = Scenario(groups=1, devices=2)
    with contextlib.nullcontext() if indices else pytest.raises(DoesNotApply, match="the server opens no device, and"):
        assert groups(launched(shown("worker", 0, indices), scenario=two_each)) == {0: set(uuids("45"))}


@pytest.mark.parametrize(
    ("kinds", "weakest"),
    [
        ([Evidence.TOUCHED, Evidence.TOUCHED], "touched"),
        ([Evidence.TOUCHED, Evidence.PROBED], "probed"),
        ([Evidence.INITIALISED], "probed"),
    ],
)
def test_a_statement_about_workers_is_as_strong_as_its_weakest_evidence(kinds: list[Evidence], weakest: str) -> None:
    workers = [process("worker", group, "4", evidence=kind) for group, kind in enumerate(kinds)]
    assert evidence(launched(*workers, shown("launcher", None, "4"))) == weakest


# Sharing, where it is declared.

SHARED = (process("worker", 0, "4"), process("worker", 1, "4"))


@pytest.mark.parametrize(
    ("fleet", "sharing", "shares"),
    [
        (launched(*SHARED), True, True),
        (launched(*SHARED), False, False),
        (refused(), True, False),
        (launched(*SHARED, permitted=()), True, False),
    ],
    ids=["declared", "not declared", "refused", "none permitted"],
)
def test_only_a_server_that_declares_to_share_may_start_on_fewer_devices(
    fleet: LaunchRecord, sharing: bool, shares: bool
) -> None:
    assert shares_as_declared(fleet, GPUS, Supports(sharing=sharing)) is shares


def test_whoever_shares_shares_only_what_is_permitted() -> None:
    stray = launched(process("worker", 0, "4"), process("worker", 1, "0"))
    found: Callable[..., object] = shares_as_declared
    assert violation_of(found, stray, GPUS, Supports(sharing=True)).headline == "takes GPUs it was not given"


def test_workers_of_a_launch_that_has_ended_bind_nothing_more() -> None:
    """Ranks that started CUDA, found no device of their number and are gone; two others had touched what was theirs."""
    dead = [shown("worker", group, "45") for group in (2, 3)]
    ended = refused(processes=(process("worker", 0, "4"), process("worker", 1, "5"), *dead), visible="4,5")
    assert groups(ended) == {0: set(uuids("4")), 1: set(uuids("5")), 2: set(), 3: set()}
    assert_no_sharing(ended, GPUS)
    shared = refused(processes=(process("worker", 0, "4"), process("worker", 1, "4")), visible="4,5")
    assert violation_of(assert_no_sharing, shared, GPUS).headline == "lets two groups share a GPU"
