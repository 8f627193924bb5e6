"""What people and programs are told about a mask."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpuvisibility import Inventory, resolve
from pytest_gpuvisibility.masks.explain import as_json, explain

TEXTS = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(["0", "+1", "0x1", "00", "", "x"])).map(",".join))


def explained(value: str | None, name: str = "a100x4") -> str:
    return explain(resolve(value, Inventory.load(name)))


def test_a_mask_is_explained_token_by_token() -> None:
    assert explained("0,2,-1,1") == (
        "CUDA sees 2 of 4 devices\n"
        "\n"
        "  0    cuda:0   GPU 0  A100  GPU-5f1c…    documented\n"
        "  2    cuda:1   GPU 2  A100  GPU-91d0…    documented\n"
        "  -1   ends the list                      documented, seen on hardware\n"
        "  1    hidden, after the end              documented"
    )


def test_what_is_not_settled_is_said_to_be_so_with_every_outcome() -> None:
    _, _, rest = explained("0x1,3").partition("\n\nNot settled: ")
    assert rest == (
        "the evidence allows 2 outcomes\n"
        "  GPU 0, GPU 3   (assumed here)\n"
        "  GPU 1, GPU 3\n"
        "  row 18, hexadecimal, 0x1: unknown"
    )
    assert "Not settled" not in explained("0,3")


def test_without_a_mask_every_device_is_listed() -> None:
    assert explained(None, "mig").splitlines()[2:5] == [
        "  (unset)   cuda:0   GPU 0  A100  GPU-2e05…                documented",
        "  (unset)   cuda:1   GPU 1  A100 MIG 3g.40gb  MIG-af8a…    documented",
        "  (unset)   cuda:2   GPU 1  A100 MIG 3g.40gb  MIG-37cc…    documented",
    ]


def test_tokens_that_a_terminal_cannot_show_are_escaped_and_long_ones_cut() -> None:
    assert explained("1, 0,gpu\t,\x1b[2J,0123456789abcdef,0123456789abcdefg").splitlines()[2:] == [
        "  1                  cuda:0   GPU 1  A100  GPU-fb1d…    documented",
        "  ' 0'               cuda:1   GPU 0  A100  GPU-5f1c…    encoded by re-implementations",
        "  'gpu\\t'            ends the list: not a number        encoded by re-implementations",
        "  '\\x1b[2J'          hidden, after the end              documented",
        "  0123456789abcdef   hidden, after the end              documented",
        "  0123456789abcde…   hidden, after the end              documented",
    ]
    assert explained("\x1b" * 5).splitlines()[2].startswith("  '\\x1b\\x1b\\x1b\\x…   ends the list")


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ("", ["  ''   ends the list: empty: no device    documented, seen on hardware"]),
        (
            "0,0",
            [
                "  0   hidden, a device is named twice        encoded by re-implementations",
                "  0   names GPU 0 again: no device at all    encoded by re-implementations",
            ],
        ),
        ("9", ["  9   ends the list: out of range    documented, seen on hardware"]),
        ("all", ["  all   ends the list: not a word of CUDA's    inferred"]),
    ],
)
def test_a_token_that_shows_nothing_says_why(value: str, lines: list[str]) -> None:
    assert explained(value).splitlines()[2:] == lines


def test_a_token_that_shows_several_slices_has_a_line_for_each() -> None:
    assert explained("1", "mig").splitlines() == [
        "CUDA sees 2 of 3 devices",
        "",
        "  1   cuda:0   GPU 1  A100 MIG 3g.40gb  MIG-af8a…    seen on hardware, unknown",
        "  1   cuda:1   GPU 1  A100 MIG 3g.40gb  MIG-37cc…    seen on hardware, unknown",
        "",
        "Not settled: the evidence allows 2 outcomes",
        "  GPU 1 MIG 3g.40gb/1, GPU 1 MIG 3g.40gb/2   (assumed here)",
        "  GPU 1 MIG 3g.40gb/1",
        "  row 32, a GPU in MIG mode by ordinal: seen on hardware, unknown",
    ]


def test_of_many_outcomes_the_first_ten_are_listed() -> None:
    _, _, rest = explained("0x1,+2,5f1ce952-d417,4294967299,09,6", "a100x8").partition("\n\nNot settled: ")
    lines = rest.splitlines()
    assert lines[0] == "the evidence allows 11 outcomes"
    assert lines[1] == "  GPU 0, GPU 2, GPU 5   (assumed here)"
    assert "  no device" in lines
    assert lines[11] == "  and 1 more"
    assert [line.split(",")[0] for line in lines[12:]] == [
        "  row 18",
        "  row 14",
        "  row 25f",
        "  row 21",
        "  row 17",
        "  row 12",
    ]
    assert lines[14] == "  row 25f, a UUID without GPU-: inferred"


def test_where_not_all_evidence_fits_the_surest_is_told() -> None:
    inventory = Inventory.load("a100x4")
    lines = explain(resolve(f"01,{inventory.devices[1].uuid}", inventory)).splitlines()
    assert lines[2].endswith("  GPU-fb1d…                  encoded by re-implementations")
    assert len(lines[2]) == 99
    by_slurm = explained("NoDevFiles").splitlines()[2]  # all of it would have 101 columns
    assert by_slurm == "  NoDevFiles   ends the list: Slurm's word, not CUDA's    read in source"


@pytest.mark.parametrize(
    ("value", "name", "summary"),
    [
        (None, "a100x4", "CUDA sees all of 4 devices"),
        (None, "a100x1", "CUDA sees 1 of 1 device"),
        ("", "a100x4", "CUDA sees none of 4 devices: cuInit fails with CUDA_ERROR_NO_DEVICE (100)"),
        (None, "none", "CUDA sees no device: the machine has none"),
        ("0,1", "a100x2", "CUDA sees all of 2 devices"),
        ("1", "a100x2", "CUDA sees 1 of 2 devices"),
        ("x", "a100x1", "CUDA sees none of 1 device: cuInit fails with CUDA_ERROR_NO_DEVICE (100)"),
    ],
)
def test_the_first_line_says_how_many(value: str | None, name: str, summary: str) -> None:
    assert explained(value, name).splitlines()[0] == summary


def test_a_long_list_is_cut_short() -> None:
    lines = explained("0,1," + "x," * 500).splitlines()
    assert len(lines) < 80
    assert lines[-1] == "  and 433 more, the last of them hidden"
    whole = explained("0,1," + ",".join("x" * 68)).splitlines()
    assert (len(whole), whole[-1]) == (72, "  x   hidden, after the end              documented")
    assert explained("0,1," + ",".join("x" * 69)).endswith("\n  and 1 more, the last of them hidden")


@given(TEXTS, st.sampled_from(["a100x4", "mig", "mixed4", "none"]))
def test_an_explanation_fits_a_terminal_and_leaves_it_alone(value: str, name: str) -> None:
    text = explained(value, name)
    assert all(line.isprintable() and len(line) <= 100 for line in text.split("\n"))


def test_programs_get_devices_tokens_and_outcomes() -> None:
    inventory = Inventory.load("a100x4")
    report = json.loads(json.dumps(as_json(resolve("2,0x1,-1,3", inventory))))
    assert report["devices"][0] == {
        "index": 2,
        "uuid": inventory.devices[2].uuid,
        "name": "NVIDIA A100-SXM4-80GB",
        "ordinal": 0,
    }
    assert [(token["text"], token["status"], token["ordinals"]) for token in report["tokens"]] == [
        ("2", "visible", [0]),
        ("0x1", "visible", [1]),
        ("-1", "ends", []),
        ("3", "hidden", []),
    ]
    assert report["admissible"] == [[2, 0], [2, 1]]
    assert (report["value"], report["settled"], report["unsettled_rows"]) == ("2,0", False, ["18"])
    assert (report["requested"], report["inventory"]) == ("2,0x1,-1,3", "a100x4")
    assert report["tokens"][0]["reason"] == ""
    assert report["tokens"][1] == {
        "text": "0x1",
        "status": "visible",
        "row": "18",
        "evidence": "unknown",
        "reason": "decimal: only the 0 counts",
        "uuids": [inventory.devices[0].uuid],
        "ordinals": [1],
    }
    assert report["hidden"] == [
        {"index": index, "uuid": inventory.devices[index].uuid, "reason": "not in the list, or after its end"}
        for index in (1, 3)
    ]


@given(TEXTS)
def test_the_report_for_programs_is_always_json(value: str) -> None:
    visibility = resolve(value, Inventory.load("mig"))
    report = json.loads(json.dumps(as_json(visibility)))
    assert report["admissible_uuids"] == [[unit.uuid for unit in outcome] for outcome in visibility.admissible]
