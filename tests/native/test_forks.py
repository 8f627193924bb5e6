"""Programs that fork while threads of theirs are inside the simulated driver: no child may wait for a lock that nobody
in it can release.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated_programs import compiled, run

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.simulator import Machine

CHILDREN = 50


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled("fork_client.c", tmp_path_factory.mktemp("client"))


def assert_all_end_well(client: Path, machine: Machine, what: str, **extra: str) -> None:
    done = run(machine, str(client), what, str(CHILDREN), **extra)
    assert (done.stdout, done.stderr) == (f"{CHILDREN} of {CHILDREN} ended well\n", "")


@pytest.mark.parametrize("what", ["nvml", "cuda", "cudart"])
def test_a_child_can_use_what_threads_of_its_parent_were_using(client: Path, machine: Machine, what: str) -> None:
    assert_all_end_well(client, machine, what)


def test_a_child_can_start_cuda_that_its_parent_was_starting(client: Path, machine: Machine) -> None:
    assert_all_end_well(client, machine, "unseen", CUDA_VISIBLE_DEVICES="")


def test_what_a_program_does_at_a_fork_may_use_nvml(client: Path, machine: Machine) -> None:
    assert_all_end_well(client, machine, "handlers")


def test_a_child_waits_for_its_own_callbacks_alone(client: Path, machine: Machine) -> None:
    with Machine.create(Inventory.load("none")) as nothing:
        assert_all_end_well(client, machine, "callbacks", NOTHING_SHOWN=str(nothing.directory))
