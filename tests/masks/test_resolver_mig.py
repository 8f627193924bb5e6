"""MIG layouts that no shipped inventory has: two compute instances in one GPU instance, a GPU without any."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_gpuvisibility import Inventory, UserError, Visibility, narrow, resolve

MIG = Inventory.load("mig")
PLAIN, CUT = MIG.devices
FIRST, SECOND = CUT.mig
SIBLING = replace(FIRST, uuid=FIRST.uuid[:-4] + "eeee", compute_instance=1)

OTHER_CUT = replace(
    CUT,
    index=2,
    minor=2,
    uuid=CUT.uuid[:-4] + "0000",
    pci_bus_id="00000000:81:00.0",
    mig=tuple(replace(unit, uuid=unit.uuid[:-4] + "0000", parent_index=2) for unit in CUT.mig),
)

TWO_CUT = replace(MIG, name="two-cut", devices=(PLAIN, CUT, OTHER_CUT))
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


ONE_ONLY = "before R570 a process sees one MIG device and nothing else"


def test_unmasked_before_r570_all_but_the_first_slice_are_hidden_by_it() -> None:
    seen = resolve(None, MIG, driver="535")
    assert seen.devices == (FIRST,)
    assert [(entry.device, entry.reason) for entry in seen.hidden] == [(PLAIN, ONE_ONLY), (SECOND, ONE_ONLY)]


@pytest.mark.parametrize("driver", ["569.99", "535"])
def test_up_to_r570_one_slice_is_shown(driver: str) -> None:
    assert resolve("1", MIG, driver=driver).devices == (FIRST,)


def test_from_r570_on_every_slice_is_shown() -> None:
    assert resolve("1", MIG, driver="570").devices == (FIRST, SECOND)


def test_slices_have_uuids_from_r470_on() -> None:
    assert resolve(SECOND.uuid, MIG, driver="470").devices == (SECOND,)
    before = resolve(SECOND.uuid, MIG, driver="469.99")
    assert (before.devices, before.tokens[0].row) == ((), "28")
    assert narrow(resolve("1", MIG, driver="470"), [0]) == FIRST.uuid
    assert narrow(resolve("1", MIG, driver="469"), [0]) == f"MIG-{CUT.uuid}/1/0"


def test_each_of_two_gpus_that_are_cut_alike_shows_all_its_slices() -> None:
    assert resolve(None, TWO_CUT).devices == (PLAIN, *CUT.mig, *OTHER_CUT.mig)
    assert resolve("2,1", TWO_CUT).devices == (*OTHER_CUT.mig, *CUT.mig)
    assert resolve(f"MIG-{OTHER_CUT.uuid}/2/0", TWO_CUT).devices == OTHER_CUT.mig[1:]
    assert resolve(f"MIG-{CUT.uuid[:-4]}/2/0", TWO_CUT).devices == ()


def test_a_slice_in_upper_or_lower_case_may_be_taken() -> None:
    for value in (f"{FIRST.uuid},{SECOND.uuid.lower()}", f"{FIRST.uuid},MIG-{SECOND.uuid[4:].upper()}"):
        seen = resolve(value, MIG)
        assert outcomes(seen) == [[FIRST.uuid], [FIRST.uuid, SECOND.uuid]]
        assert seen.unsettled_rows == ("25g",)


def test_which_of_two_listed_compute_instances_is_shown_is_open() -> None:
    seen = resolve(f"{SIBLING.uuid},{FIRST.uuid}", SIBLINGS)
    assert (outcomes(seen), seen.unsettled_rows) == ([[SIBLING.uuid], [FIRST.uuid]], ("31",))
    assert resolve(f"{SIBLING.uuid},{SECOND.uuid}", SIBLINGS).unsettled_rows == ("31",)


def test_a_gpu_in_mig_mode_without_slices_ends_the_list_or_is_skipped() -> None:
    assert outcomes(resolve("0,1", EMPTY, driver="535")) == [[], [FIRST.uuid]]
    assert resolve("1,0,1", EMPTY).devices == (FIRST, SECOND)
    assert resolve(None, EMPTY).devices == (FIRST, SECOND)
    assert resolve(None, EMPTY).hidden[0].reason == "in MIG mode, and has no slice"


def test_a_slice_is_the_same_under_either_of_its_names() -> None:
    legacy = f"MIG-{CUT.uuid}/2/0"
    assert resolve(legacy, MIG).devices == (SECOND,)
    assert resolve(f"{legacy},{SECOND.uuid}", MIG).devices == ()


def test_slices_are_passed_on_by_their_uuids() -> None:
    seen = resolve("1", MIG)
    assert narrow(seen, iter([1, 0])) == f"{SECOND.uuid},{FIRST.uuid}"


@pytest.mark.parametrize("positions", [[0, 1], [1, 0], [0, 2, 1]])
def test_a_gpu_and_a_part_of_another_have_no_mask_in_common(positions: list[int]) -> None:
    with pytest.raises(UserError, match=r"^GPUs and MIG slices under CUDA_VISIBLE_DEVICES='0,1' cannot be passed on"):
        narrow(resolve("0,1", MIG), positions)


def test_before_r470_slices_are_passed_on_under_the_name_they_had() -> None:
    seen = resolve(None, MIG, driver="460")
    assert narrow(seen, [0]) == f"MIG-{CUT.uuid}/1/0"


@pytest.mark.parametrize("value", [None, "0,1", "1,0"])
def test_gpus_and_slices_can_be_passed_on_together_as_they_came(value: str | None) -> None:
    seen = resolve(value, MIG)
    assert len(seen.devices) == 3
    assert resolve(narrow(seen, range(3)), MIG).devices == seen.devices
