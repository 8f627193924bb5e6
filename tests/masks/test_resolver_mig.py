"""MIG layouts that no shipped inventory has: two compute instances in one GPU instance, a GPU without any."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_gpuvisibility import Inventory, Visibility, narrow, resolve

MIG = Inventory.load("mig")
PLAIN, CUT = MIG.devices
FIRST, SECOND = CUT.mig
SIBLING = replace(FIRST, uuid=FIRST.uuid[:-4] + "eeee", compute_instance=1)

SIBLINGS = replace(MIG, devices=(PLAIN, replace(CUT, mig=(FIRST, SIBLING, SECOND))))
EMPTY = replace(MIG, devices=(replace(PLAIN, mig_enabled=True), CUT))


def outcomes(visibility: Visibility) -> list[list[str]]:
    return [[unit.uuid for unit in outcome] for outcome in visibility.admissible]


def test_unmasked_each_gpu_instance_shows_one_compute_instance() -> None:
    seen = resolve(None, SIBLINGS)
    assert seen.devices == (PLAIN, FIRST, SECOND)
    assert [(entry.device, "one compute instance" in entry.reason) for entry in seen.hidden] == [(SIBLING, True)]


def test_of_two_compute_instances_listed_in_one_gpu_instance_one_is_shown() -> None:
    seen = resolve(f"{SIBLING.uuid},{FIRST.uuid},{SECOND.uuid}", SIBLINGS)
    assert outcomes(seen) == [[SIBLING.uuid, SECOND.uuid], [FIRST.uuid, SECOND.uuid], [SIBLING.uuid]]
    assert [(token.status, token.row) for token in seen.tokens] == [
        ("visible", "28"),
        ("hidden", "31"),
        ("visible", "28"),
    ]


@pytest.mark.parametrize("value", [FIRST.uuid, f"MIG-{CUT.uuid}/1/0"])
def test_a_slice_that_is_shown_is_not_said_to_be_missing(value: str) -> None:
    seen = resolve(f"{value},MIG-0", MIG)
    assert [(token.status, token.reason) for token in seen.tokens] == [
        ("visible", ""),
        ("ends", "no MIG slice has this UUID"),
    ]


def test_a_slice_beside_another_of_its_instance_is_hidden_by_that() -> None:
    for value in (f"{SIBLING.uuid},{FIRST.uuid}", f"{FIRST.uuid},{SIBLING.uuid}"):
        [reason] = [entry.reason for entry in resolve(value, SIBLINGS).hidden if entry.device in (FIRST, SIBLING)]
        assert reason == "CUDA shows one compute instance of each GPU instance"


def test_before_r570_one_slice_hides_everything_else() -> None:
    seen = resolve("0,1", SIBLINGS, driver="535")
    assert seen.devices == (FIRST,)
    assert seen.settled
    assert [(token.status, token.row) for token in seen.tokens] == [("hidden", "29"), ("visible", "32")]
    assert {entry.reason for entry in seen.hidden if entry.device in (PLAIN, SECOND)} == {
        "before R570 a process sees one MIG device and nothing else"
    }


def test_a_gpu_in_mig_mode_without_slices_ends_the_list_or_is_skipped() -> None:
    assert outcomes(resolve("0,1", EMPTY, driver="535")) == [[], [FIRST.uuid]]
    assert resolve("1,0,1", EMPTY).devices == (FIRST, SECOND)
    assert resolve(None, EMPTY).devices == (FIRST, SECOND)
    assert resolve(None, EMPTY).hidden[0].reason == "in MIG mode, and has no slice"


def test_a_slice_is_the_same_under_either_of_its_names() -> None:
    legacy = f"MIG-{CUT.uuid}/2/0"
    assert resolve(legacy, MIG).devices == (SECOND,)
    assert resolve(f"{legacy},{SECOND.uuid}", MIG).devices == ()


def test_before_r470_slices_are_passed_on_under_the_name_they_had() -> None:
    seen = resolve(None, MIG, driver="460")
    assert narrow(seen, [0]) == f"MIG-{CUT.uuid}/1/0"


@pytest.mark.parametrize("value", [None, "0,1", "1,0"])
def test_gpus_and_slices_can_be_passed_on_together_as_they_came(value: str | None) -> None:
    seen = resolve(value, MIG)
    assert len(seen.devices) == 3
    assert resolve(narrow(seen, range(3)), MIG).devices == seen.devices
