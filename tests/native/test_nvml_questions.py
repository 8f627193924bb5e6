"""Which GPUs a process asked NVML about: in the ledger where the machine was made to record it."""

from __future__ import annotations

import subprocess

import pytest
from simulated_programs import python

from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.records import Evidence
from pytest_gpuvisibility.simulator import Machine
from pytest_gpuvisibility.witness import LedgerWitness


def ask(machine: Machine, question: str) -> None:
    environ = machine.environ({"CUDA_VISIBLE_DEVICES": "2"})
    subprocess.run(python("nvml/questions.py", question), env=environ, check=True)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("memory", {(2, "memory")}),
        ("peers", {(1, "topology"), (3, "topology")}),
        ("processors", {(0, "affinity")}),
        ("nothing", set()),
    ],
)
def test_what_decisions_rest_on_is_recorded_and_plain_lists_are_not(
    question: str, expected: set[tuple[int, str]]
) -> None:
    inventory = Inventory.load("mixed4")
    with Machine.create(inventory, questions=True) as machine:
        ask(machine, question)
        records = machine.ledger.records()
        unknown_processes = LedgerWitness(machine).unknown_processes([])
    asked = {pair for account in unknown_processes.values() for pair in account.asked or ()}
    assert asked == {(inventory.devices[index].uuid, kind) for index, kind in expected}
    assert {account.evidence for account in unknown_processes.values()} <= {Evidence.NONE}
    assert len(records) <= 10 * len(expected)  # of a thousand equal ones the 1st, 2nd, 4th ...


def test_nothing_is_recorded_where_nobody_wants_to_know() -> None:
    with Machine.create(Inventory.load("mixed4")) as machine:
        ask(machine, "memory")
        assert machine.ledger.records() == []


def test_nvidia_smi_asks_about_every_gpu_and_decides_nothing() -> None:
    with Machine.create(Inventory.load("mixed4"), questions=True) as machine:
        subprocess.run(["nvidia-smi"], env=machine.environ({"PATH": "/usr/bin:/bin"}), check=True, capture_output=True)
        assert machine.ledger.records() == []
