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


@pytest.mark.parametrize(
    ("value", "name", "summary"),
    [
        (None, "a100x4", "CUDA sees all of 4 devices"),
        (None, "a100x1", "CUDA sees 1 of 1 device"),
        ("", "a100x4", "CUDA sees none of 4 devices: cuInit fails with CUDA_ERROR_NO_DEVICE (100)"),
        (None, "none", "CUDA sees no device: the machine has none"),
    ],
)
def test_the_first_line_says_how_many(value: str | None, name: str, summary: str) -> None:
    assert explained(value, name).splitlines()[0] == summary


def test_a_long_list_is_cut_short() -> None:
    lines = explained("0,1," + "x," * 500).splitlines()
    assert len(lines) < 80
    assert lines[-1] == "  and 433 more, the last of them hidden"


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


@given(TEXTS)
def test_the_report_for_programs_is_always_json(value: str) -> None:
    visibility = resolve(value, Inventory.load("mig"))
    report = json.loads(json.dumps(as_json(visibility)))
    assert report["admissible_uuids"] == [[unit.uuid for unit in outcome] for outcome in visibility.admissible]
