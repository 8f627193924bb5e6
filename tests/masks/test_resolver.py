"""What holds for every mask, whatever it is; and what narrowing a mask means."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpuvisibility import Inventory, UserError, Visibility, narrow, resolve
from pytest_gpuvisibility.masks import contained, positions_of
from pytest_gpuvisibility.masks.reader import Units

NAMES = ("none", "a100x1", "a100x4", "a100x8", "mixed4", "mig", "container")
CUT = list(Inventory.load("mig").devices[1].mig)
INVENTORIES = {name: Inventory.load(name) for name in NAMES}
ORDERS = (None, "FASTEST_FIRST", "PCI_BUS_ID", "pci_bus_id", "")
DRIVERS = (None, "460.32", "550", "570", "580.95.05")
ODD_TOKENS = (
    *(
        "",
        " ",
        "-1",
        "-0",
        "+0",
        "+",
        "--1",
        "00",
        "01",
        "08",
        "010",
        "0x1",
        "0X0",
        "0-2",
        "1gpu",
        "0:1",
        "1.5",
    ),
    *(
        "9",
        "4294967296",
        "-4294967295",
        "18446744073709551616",
        "2147483648",
        "9" * 50,
        "٣",
        "²",
        "\0",
        "\ud800",
    ),
    *("GPU-", "gpu-", "MIG-", "MIG-GPU-/1/0", "all", "none", "NoDevFiles", "\x1b[2J", "5f1ce952-d417", "é"),
)


def uuids_of(name: str) -> st.SearchStrategy[str]:
    units = INVENTORIES[name].units
    if not units:
        return st.just("GPU-5f1c")
    full = st.sampled_from([unit.uuid for unit in units])
    legacy = [f"MIG-{u.uuid}/{i}/0" for u in INVENTORIES[name].devices for i in (1, 2)]
    cut = st.builds(lambda uuid, length: uuid[:length], full, st.integers(4, 41))
    return st.one_of(full, full, cut, full.map(str.upper), full.map(" {}".format), st.sampled_from(legacy))


@st.composite
def environments(draw: st.DrawFn) -> Visibility:
    """Masks that are mostly valid, mostly odd, or any text, on any machine."""
    name = draw(st.sampled_from(NAMES))
    numbers = st.integers(0, len(INVENTORIES[name].devices)).map(str)
    token = draw(
        st.sampled_from([numbers, uuids_of(name), st.one_of(numbers, uuids_of(name), st.sampled_from(ODD_TOKENS))])
    )
    lists = st.lists(token, max_size=10).map(",".join)
    value = draw(st.one_of(lists, lists, st.none(), st.text(max_size=30)))
    order, driver = draw(st.sampled_from(ORDERS)), draw(st.sampled_from(DRIVERS))
    return resolve(value, INVENTORIES[name], device_order=order, driver=driver)


def like(visibility: Visibility, value: str | None) -> Visibility:
    """Another mask in otherwise the same environment."""
    return resolve(value, visibility.inventory, device_order=visibility.device_order, driver=str(visibility.driver))


@given(environments())
def test_a_device_is_seen_once_and_belongs_to_the_machine(visibility: Visibility) -> None:
    seen = [unit.uuid for unit in visibility.devices]
    assert len(set(seen)) == len(seen)
    for outcome in visibility.admissible:
        assert {unit.uuid for unit in outcome} <= {unit.uuid for unit in visibility.inventory.units}


@given(environments())
def test_outcomes_are_distinct_and_begin_with_the_default(visibility: Visibility) -> None:
    assert visibility.admissible[0] == visibility.devices
    assert len(set(visibility.admissible)) == len(visibility.admissible)
    assert visibility.settled == (not visibility.unsettled_rows)


@given(environments())
def test_the_canonical_value_gives_the_same_result(visibility: Visibility) -> None:
    again = like(visibility, visibility.value)
    assert again.devices == visibility.devices
    assert again.value == visibility.value


@given(environments())
def test_devices_come_in_the_order_of_the_list(visibility: Visibility) -> None:
    if visibility.requested is not None:
        ordinals = [ordinal for token in visibility.tokens for ordinal in token.ordinals]
        assert ordinals == list(range(len(visibility.devices)))
        assert [token.text for token in visibility.tokens] == visibility.requested.partition("\0")[0].split(",")


@given(environments())
def test_every_device_is_either_seen_or_hidden_for_a_reason(visibility: Visibility) -> None:
    seen = {unit.uuid for unit in visibility.devices}
    hidden = {entry.device.uuid for entry in visibility.hidden}
    cut_up = {device.uuid for device in visibility.inventory.devices if device.mig}
    assert seen | hidden | cut_up == {unit.uuid for unit in visibility.inventory.units}
    assert not seen & hidden
    assert all(entry.reason for entry in visibility.hidden)


@given(environments())
def test_what_does_not_show_a_device_says_why(visibility: Visibility) -> None:
    for token in visibility.tokens:
        assert bool(token.devices) == (token.status == "visible")
        assert (token.device is None) == (not token.devices)
        assert token.evidence
    ended = [token.status for token in visibility.tokens if token.status in ("ends", "repeats")]
    assert len(ended) <= 1


@given(environments(), st.data())
def test_narrowing_passes_on_just_the_chosen_devices(visibility: Visibility, data: st.DataObject) -> None:
    positions = data.draw(st.permutations(range(len(visibility.devices))))
    chosen = positions[: data.draw(st.integers(0, len(positions)))]
    expected = tuple(visibility.devices[position] for position in chosen)
    if len({type(unit) for unit in expected}) == 2 and not _whole(expected):
        with pytest.raises(UserError, match="cannot be passed on together"):
            narrow(visibility, chosen)
        return
    child = like(visibility, narrow(visibility, chosen))
    assert child.devices == expected
    assert contained(child, visibility)
    assert positions_of(visibility, child) == tuple(chosen)


def _whole(units: Units) -> bool:
    """Whether one value can say it: every slice of the GPU that is cut up, in order, without a break."""
    start = [unit.index for unit in units].index(1)
    return list(units[start : start + len(CUT)]) == CUT


@given(environments(), environments())
def test_what_is_contained_has_positions_and_what_is_not_is_an_error(parent: Visibility, child: Visibility) -> None:
    if contained(child, parent):
        assert len(positions_of(parent, child)) == len(child.devices)
    else:
        with pytest.raises(UserError, match="replaces its parent's"):
            positions_of(parent, child)


@given(st.sampled_from(NAMES), st.data())
def test_a_mask_in_a_container_counts_within_it(name: str, data: st.DataObject) -> None:
    host = INVENTORIES[name]
    given_to_it = data.draw(st.sets(st.sampled_from(host.devices))) if host.devices else set()
    inside = host.restricted_to(minors=[device.minor for device in given_to_it])
    for ordinal, device in enumerate(inside.in_pci_order):
        seen = resolve(str(ordinal), inside, device_order="PCI_BUS_ID").devices
        assert {unit.index for unit in seen} <= {device.index}
    everything = {unit.uuid for unit in resolve(None, inside).devices}
    assert everything <= {unit.uuid for unit in host.units if unit.index in {d.index for d in given_to_it}}


def test_a_lost_gpu_has_no_ordinal_and_no_uuid() -> None:
    eight = Inventory.load("a100x4")
    devices = (replace(eight.devices[0], faults=frozenset({"lost"})), *eight.devices[1:])
    inventory = replace(eight, devices=devices)
    assert [device.index for device in resolve(None, inventory).devices] == [1, 2, 3]
    assert [device.index for device in resolve("0", inventory).devices] == [1]
    assert resolve(devices[0].uuid, inventory).devices == ()
    assert "lost" in resolve(None, inventory).hidden[0].reason


def test_without_a_loaded_driver_cuda_has_no_device() -> None:
    inventory = replace(Inventory.load("mig"), faults=frozenset({"driver-not-loaded"}))
    for mask in (None, "0", "GPU-", inventory.units[-1].uuid):
        assert resolve(mask, inventory).devices == ()
    assert {hidden.reason for hidden in resolve(None, inventory).hidden} == {"the driver is not loaded"}


def test_a_child_that_writes_its_own_ordinals_escapes() -> None:
    inventory = INVENTORIES["a100x4"]
    parent = resolve("2,3", inventory)
    assert narrow(parent, [1]) == "3"
    escaped = resolve("1", inventory)
    assert not contained(escaped, parent)


def test_narrowing_counts_in_cudas_order_and_keeps_uuids() -> None:
    mixed = INVENTORIES["mixed4"]
    assert narrow(resolve("1,2,3", mixed), [2, 0]) == "3,1"
    assert narrow(resolve(None, mixed, device_order="PCI_BUS_ID"), [2]) == "2"
    by_uuid = resolve(f"{mixed.devices[3].uuid},{mixed.devices[1].uuid[:10]}", mixed)
    assert narrow(by_uuid, [1]) == mixed.devices[1].uuid
    assert narrow(by_uuid, []) == ""


@pytest.mark.parametrize(("positions", "part"), [([2], "only devices 0-1"), ([-1], "Device -1"), ([0, 0], "twice")])
def test_passing_on_what_the_caller_does_not_have_is_a_mistake(positions: list[int], part: str) -> None:
    with pytest.raises(UserError, match=part):
        narrow(resolve("1,2", INVENTORIES["a100x4"]), positions)


@pytest.mark.parametrize(
    ("mask", "position", "there"),
    [
        ("1,2", 2, "under CUDA_VISIBLE_DEVICES='1,2' there is only devices 0-1 (inventory a100x4)."),
        ("3", 1, "under CUDA_VISIBLE_DEVICES='3' there is only device 0 (inventory a100x4)."),
        ("", 0, "under CUDA_VISIBLE_DEVICES='' there is no device (inventory a100x4)."),
        (None, -1, "under an unset CUDA_VISIBLE_DEVICES there is only devices 0-3 (inventory a100x4)."),
    ],
)
def test_what_the_caller_has_is_said_to_who_would_pass_on_more(mask: str | None, position: int, there: str) -> None:
    with pytest.raises(UserError) as caught:
        narrow(resolve(mask, INVENTORIES["a100x4"]), [0, position] if mask == "1,2" else [position])
    assert str(caught.value).startswith(f"Device {position} cannot be passed on: {there}")


def test_a_child_that_escapes_is_told_of_with_what_it_sees() -> None:
    four = INVENTORIES["a100x4"]
    parent = resolve("2,3", four)
    assert positions_of(parent, resolve("3,2", four)) == (1, 0)
    assert positions_of(parent, resolve("", four)) == ()
    with pytest.raises(UserError) as caught:
        positions_of(parent, resolve("1,2,0", four))
    assert str(caught.value).startswith(
        f"Under CUDA_VISIBLE_DEVICES='1,2,0' a child sees {four.devices[1].uuid}, {four.devices[0].uuid}, which its"
        " parent under CUDA_VISIBLE_DEVICES='2,3' does not: "
    )


def test_who_sees_no_more_is_contained() -> None:
    four = INVENTORIES["a100x4"]
    parent = resolve("2,3", four)
    for mask, inside in (("3,2", True), ("2", True), ("", True), ("1", False), ("2,1", False), (None, False)):
        assert contained(resolve(mask, four), parent) == inside


@pytest.mark.parametrize(
    ("mask", "name", "reasons"),
    [
        ("2,0", "a100x4", {1: "not in the list, or after its end", 3: "not in the list, or after its end"}),
        ("1,x,0", "a100x2", {0: "not in the list, or after its end"}),
        ("1,1", "a100x2", dict.fromkeys((0, 1), "the list names a device twice, which hides every one")),
        (None, "a100x2", {}),
    ],
)
def test_hidden_devices_say_what_hides_them(mask: str | None, name: str, reasons: dict[int, str]) -> None:
    hidden = resolve(mask, INVENTORIES.get(name) or Inventory.load(name)).hidden
    assert {entry.device.index: entry.reason for entry in hidden} == reasons


def test_a_driver_is_known_by_its_major_version() -> None:
    four = INVENTORIES["a100x4"]
    assert [resolve("0", four, driver=driver).driver for driver in ("570", "580.95.05", "460.32")] == [570, 580, 460]
    assert resolve("0", four).driver == int(four.driver_version.partition(".")[0])


@pytest.mark.parametrize(
    ("mask", "value"),
    [
        (" 0, 2gpu,x,1", "0,2"),
        (None, "0,1,2,3"),
        ("x", ""),
        ("0,0", ""),
        ("GPU-x", ""),
        ("GPU-5f1c, GPU-91d0", "{0},{2}"),
        (" GPU-5f1c", "{0}"),
    ],
)
def test_the_plainest_value_names_what_is_seen_in_the_same_way(mask: str | None, value: str) -> None:
    four = INVENTORIES["a100x4"]
    assert resolve(mask, four).value == value.format(*(device.uuid for device in four.devices))


@pytest.mark.parametrize("driver", ["", "new", "580-95", "\u0665\u0668\u0660"])
def test_a_driver_that_is_no_version_is_a_mistake(driver: str) -> None:
    with pytest.raises(UserError, match="no driver version"):
        resolve("0", INVENTORIES["a100x4"], driver=driver)


def test_unknowns_combine() -> None:
    visibility = resolve("+1,0x2,3", INVENTORIES["a100x4"])
    outcomes = [tuple(unit.index for unit in outcome) for outcome in visibility.admissible]
    assert outcomes == [(1, 0, 3), (), (1, 2, 3)]
    assert visibility.unsettled_rows == ("14", "18")


def test_unknowns_combine_to_outcomes_that_none_has_alone() -> None:
    visibility = resolve("0x1,08", INVENTORIES["a100x4"])
    outcomes = {tuple(unit.index for unit in outcome) for outcome in visibility.admissible}
    assert outcomes == {(0,), (1,), (), (0, 0), (1, 0)}
    assert set(visibility.unsettled_rows) == {"17", "18", "12"}


@pytest.mark.parametrize(
    ("mask", "open_"),
    [
        ("0,9,1", False),
        ("0,9,0", True),
        ("0,9,9", True),
        ("0,9,1,9", True),
        ("0,9, 0", True),
        ("0,9,00", True),
        ("0,9,+0", True),
        ("0,9,-0", True),
        ("0,9,-9", False),
        ("0,9,-1,0", False),
        ("0,9,x,0", False),
        ("0,9,,0", False),
        ("0,9,0x", True),
        ("9,0,0", False),
        ("0,2147483648,0", True),
    ],
)
def test_repetitions_after_one_out_of_range_may_count_as_long_as_there_are_numbers(mask: str, open_: bool) -> None:
    visibility = resolve(mask, INVENTORIES["a100x4"])
    assert visibility.unsettled_rows == (("11",) if open_ else ())
    shown = [[unit.index for unit in outcome] for outcome in visibility.admissible]
    assert shown == ([[0], []] if open_ else [[0] if mask.startswith("0") else []])


@pytest.mark.parametrize(
    ("mask", "outcomes", "rows"),
    [
        ("-4294967295", [[], [1]], {"21"}),
        ("-4294967296", [[], [0]], {"21"}),
        ("4294967300", [[]], set()),
        ("1" + "0" * 31, [[]], set()),
        ("1" + "0" * 32, [[], [0]], {"21"}),
        ("+0x1", [[0], [1], []], {"14", "18"}),
        ("-0x1", [[0], []], {"18"}),
    ],
)
def test_numbers_may_wrap_at_32_bits_and_have_a_sign_in_any_base(
    mask: str, outcomes: list[list[int]], rows: set[str]
) -> None:
    visibility = resolve(mask, INVENTORIES["a100x4"])
    shown = [[unit.index for unit in outcome] for outcome in visibility.admissible]
    assert (shown[0], sorted(shown)) == (outcomes[0], sorted(outcomes))
    assert set(visibility.unsettled_rows) == rows


def test_what_follows_a_zero_byte_is_not_in_the_environment() -> None:
    visibility = resolve("0,1\0,2", INVENTORIES["a100x4"])
    assert [unit.index for unit in visibility.devices] == [0, 1]
    assert [token.text for token in visibility.tokens] == ["0", "1"]
    assert resolve("\0001", INVENTORIES["a100x4"]).tokens[0].row == "2"


def many_gpus() -> Inventory:
    """A machine of 24."""
    eight = INVENTORIES["a100x8"]
    gpus = tuple(
        replace(
            device,
            index=8 * copy + i,
            minor=8 * copy + i,
            uuid=f"{device.uuid[:-2]}e{copy}",
            pci_bus_id=f"{copy:08x}:{i:02x}:00.0",
        )
        for copy in range(3)
        for i, device in enumerate(eight.devices)
    )
    return replace(eight, name="many", devices=gpus)


@pytest.mark.parametrize(
    ("mask", "outcomes"),
    [
        ("010", [[10], [8]]),
        ("017", [[17], [15]]),
        ("019", [[19], [1]]),
        ("0x10", [[0], [16]]),
        ("0xfg", [[0], [15]]),
        ("0X1F", [[0], []]),
        ("10", [[10]]),
        ("10x1", [[10]]),
    ],
)
def test_other_bases_count_where_there_are_enough_gpus(mask: str, outcomes: list[list[int]]) -> None:
    visibility = resolve(mask, many_gpus())
    assert [[unit.index for unit in outcome] for outcome in visibility.admissible] == outcomes


def test_zeros_in_front_of_a_number_do_not_count_however_many() -> None:
    for zeros in (1, 11, 5000):
        assert [unit.index for unit in resolve("0" * zeros + "1", INVENTORIES["a100x4"]).devices] == [1]


@pytest.mark.parametrize(
    ("mask", "outcomes"),
    [
        ("{1} , {0}", [[], [1, 0]]),
        (" {1},{0} ", [[1], [], [1, 0]]),
        (" {1} ", [[], [1]]),
        ("{1}, ,{0}", [[1]]),
        ("{1},{0}", [[1, 0]]),
    ],
)
def test_space_around_uuids_is_skipped_in_front_everywhere_or_nowhere(mask: str, outcomes: list[list[int]]) -> None:
    four = INVENTORIES["a100x4"]
    visibility = resolve(mask.format(*(device.uuid for device in four.devices)), four)
    assert [[unit.index for unit in outcome] for outcome in visibility.admissible] == outcomes
    assert visibility.unsettled_rows == (("25h",) if len(outcomes) > 1 else ())


def test_a_number_of_two_digits_is_a_plain_one() -> None:
    tokens = resolve("12, 13,10x,014", many_gpus()).tokens
    assert [token.row for token in tokens] == ["5", "13", "15", "17"]


HUGE: dict[str, str] = {
    "digits": "9" * 100_000,
    "zeros": "0" * 100_000,
    "hexadecimal": "0x" + "f" * 100_000,
    "commas": "," * 100_000,
    "spaces": " " * 100_000,
    "uuid": "GPU-" + "a" * 100_000,
    "slashes": "MIG-GPU-/" * 10_000,
    "ordinals": ",".join(map(str, range(100_000))),
    "one ordinal": "0," * 100_000,
    "uuids": ",".join(f"GPU-{number:x}" for number in range(100_000)),
    "open questions": "0x1,+2,010,9," + ",".join(map(str, range(10, 50_000))) + ",10",
}


@pytest.mark.parametrize("what", HUGE)
@pytest.mark.parametrize("name", ["a100x8", "mig"])
def test_masks_without_measure_take_time_in_proportion(what: str, name: str) -> None:
    start = time.process_time()
    visibility = resolve(HUGE[what], INVENTORIES[name])
    assert len(visibility.admissible) <= 10
    assert len(visibility.tokens) == HUGE[what].count(",") + 1
    assert time.process_time() - start < 10


def test_equal_questions_have_equal_answers_and_the_answer_can_be_kept() -> None:
    first, second = (resolve("0,2", Inventory.load("a100x4")) for _ in range(2))
    assert first == second
    kept: dict[Visibility, Any] = {first: 1}
    assert kept[second] == 1
