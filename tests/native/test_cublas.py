"""libgpuvisibility-cublas.so under a client in C: products are skipped where launches are, and refused where not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cuda_programs import uuids
from simulated_programs import compiled

from pytest_gpuvisibility.simulator import Machine, library_directory
from pytest_gpuvisibility.simulator.native import cublas_library

NOT_INITIALIZED, ALLOC_FAILED, INVALID_VALUE, NOT_SUPPORTED = "1", "3", "7", "15"
PRODUCTS = [
    "cublasSgemm_v2",
    "cublasSgemmStridedBatched",
    "cublasGemmEx",
    "cublasGemmStridedBatchedEx",
    "cublasLtMatmul",
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled("cublas_client.c", tmp_path_factory.mktemp("client"))


def answers(program: Path, machine: Machine, ordinal: int = 0, **variables: str) -> dict[str, str]:
    environ = {**machine.environ(os.environ), **variables}
    run = subprocess.run([str(program), str(ordinal)], env=environ, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    return dict(line.rsplit(" ", 1) for line in run.stdout.splitlines())


def test_products_are_skipped_and_recorded_as_launches(make_machine: Callable[..., Machine], client: Path) -> None:
    machine = make_machine(kernel_launches="noop")
    answered = answers(client, machine, 1, CUDA_VISIBLE_DEVICES="3,2")
    mistakes = {name: answered.pop(name) for name in list(answered) if " " in name or name == "descriptors"}
    assert answered.pop("mode") == "3"
    assert set(answered.values()) == {"0"}, answered
    assert mistakes == {
        "before a context": NOT_INITIALIZED,
        "found 1 state 0 beyond": "42",
        "no shape": INVALID_VALUE,
        "no handle": NOT_INITIALIZED,
        "a descriptor for a handle": NOT_INITIALIZED,
        "a handle for a descriptor": INVALID_VALUE,
        "inside a handle": NOT_INITIALIZED,
        "nowhere to write": INVALID_VALUE,
        "not offered": NOT_SUPPORTED,
        "not offered, wide": NOT_SUPPORTED,
        "destroyed twice": NOT_INITIALIZED,
        "descriptors": "4096",
    }
    records = machine.ledger.records()
    launches = [record for record in records if record.event == "launch"]
    assert [record.function for record in launches] == PRODUCTS
    assert {record.uuid for record in launches} == set(uuids(machine, 2))
    assert {record.cuda_visible_devices for record in launches} == {"3,2"}
    refused = [record.function for record in records if record.event == "refused"]
    assert refused == ["cublasSdot_v2", "cublasSgemm_v2_64"]


def test_products_are_refused_where_launches_are_errors(machine: Machine, client: Path) -> None:
    said = answers(client, machine, LD_PRELOAD=str(cublas_library()))
    answered = {name: answer for name, answer in said.items() if name.startswith("cublas")}
    assert set(answered.values()) == {NOT_SUPPORTED}
    refused = {record.function for record in machine.ledger.records() if record.event == "refused"}
    assert {"cublasCreate_v2", *PRODUCTS} <= refused
    assert "launch" not in {record.event for record in machine.ledger.records()}


def test_it_is_loaded_only_where_launches_are_skipped(make_machine: Callable[..., Machine], machine: Machine) -> None:
    assert "LD_PRELOAD" not in machine.environ({})
    skipping = make_machine(kernel_launches="noop")
    assert skipping.environ({})["LD_PRELOAD"] == str(cublas_library())
    assert Machine.open(skipping.directory).environ({"LD_PRELOAD": "a:b"})["LD_PRELOAD"] == f"{cublas_library()}:a:b"
    machine.set_kernel_launch_policy("noop")
    assert machine.environ({})["LD_PRELOAD"] == str(cublas_library())
    # ... and this process, should it go onto the machine, loads it too.
    script = f"""if True:
        import ctypes
        from pathlib import Path
        from pytest_gpuvisibility.simulator.machine import Machine
        Machine.open(Path({str(skipping.directory)!r})).attach()
        print(ctypes.CDLL(None).cublasCreate_v2(None))
    """
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == INVALID_VALUE


def test_a_handle_on_a_slice_belongs_to_the_slice(make_machine: Callable[..., Machine], client: Path) -> None:
    machine = make_machine("mig", kernel_launches="noop")
    slices = [part.uuid for device in machine.inventory.devices for part in device.mig]
    answers(client, machine, 0, CUDA_VISIBLE_DEVICES=slices[-1])
    assert {record.uuid for record in machine.ledger.records() if record.event == "launch"} == {slices[-1]}


def test_outside_a_machine_it_offers_nothing(client: Path) -> None:
    environ = {"LD_PRELOAD": str(cublas_library()), "LD_LIBRARY_PATH": str(library_directory())}
    run = subprocess.run([str(client)], env=environ, capture_output=True, text=True, check=True)
    said = dict(line.rsplit(" ", 1) for line in run.stdout.splitlines())
    assert said["cublasCreate_v2"] == NOT_SUPPORTED
