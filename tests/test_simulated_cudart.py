"""libcudart.so.12 and libcudart.so.13 as their clients see them: C compiled against NVIDIA's headers, and ctypes, each
in a process of its own that asks for NVIDIA's library, by DT_RPATH or by its path.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cuda_programs import CONTEXT_OVERHEAD, uuids
from cuda_runtimes import HERE, Release

from pytest_gpuvisibility import Inventory, resolve
from pytest_gpuvisibility.inventory import Device
from pytest_gpuvisibility.simulator.machine import Machine
from pytest_gpuvisibility.simulator.native import library_directory

MASKS = [None, "1,0", "", "0,-1,1", "{2}"]


def exported(library: Path) -> set[str]:
    """Names with their version nodes: "cudaMalloc@@libcudart.so.13"."""
    if not shutil.which("nm"):
        pytest.skip("needs nm of binutils, to list what a library exports")
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", "--with-symbol-versions", library], capture_output=True, text=True, check=True
    )
    rows = (line.split() for line in listed.stdout.splitlines())
    return {row[2] for row in rows if row[1] in "TW"}


def test_every_name_of_the_real_library_is_there(release: Release) -> None:
    real = exported(release.library)
    assert len(real) > 400
    assert real <= exported(library_directory() / release.soname)


@pytest.fixture(scope="session")
def client(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("client") / f"client-{release.major}"
    release.compile(HERE / "cudart_client.c", program)
    return program


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", ["a100x4", "mixed4"])
def test_a_program_in_c_is_shown_what_the_resolver_says(
    make_machine: Callable[..., Machine], client: Path, release: Release, name: str, mask: str | None
) -> None:
    machine = make_machine(name)
    mask = mask and mask.format(*uuids(machine, 0, 1, 2, 3))
    environ = machine.environ(os.environ) | ({} if mask is None else {"CUDA_VISIBLE_DEVICES": mask})
    ended = subprocess.run([client], env=environ, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    shown = [json.loads(line) for line in ended.stdout.splitlines()]
    permitted = resolve(mask, machine.inventory).devices
    described_all = [described(device, machine.inventory, release) for device in permitted]
    assert shown == (described_all or [{"error": "cudaErrorNoDevice", "count": 0}])
    assert {record.touched for record in machine.ledger.records()} == {None}


def described(device: Any, inventory: Inventory, release: Release) -> dict[str, Any]:
    assert isinstance(device, Device)
    major, minor = device.compute_capability
    driver = int(inventory.cuda_version.split(".")[0]) * 1000 + int(inventory.cuda_version.split(".")[1]) * 10
    return {
        "uuid": device.uuid.removeprefix("GPU-").replace("-", ""),
        "name": device.name,
        "memory": device.memory,
        "major": major,
        "minor": minor,
        "bus": int(device.pci_bus_id.split(":")[1], 16),
        "clusters": int(major >= 9),
        "numa": 1,
        "runtime": driver if release.major == 13 else 12090,
        "driver": driver,
    }


# ---- memory ----


def test_memory_is_taken_from_the_device_and_seen_by_others(machine: Machine, release: Release) -> None:
    before, within, after = release.ask(
        machine,
        """
        nvml, device, memory = ctypes.CDLL("libnvidia-ml.so.1"), void(), (ctypes.c_ulonglong * 3)()
        nvml.nvmlInit_v2()
        nvml.nvmlDeviceGetHandleByIndex_v2(3, ctypes.byref(device))
        def used():
            free, total = size(), size()
            call("cudaMemGetInfo", ctypes.byref(free), ctypes.byref(total))
            nvml.nvmlDeviceGetMemoryInfo(device, memory)
            return [total.value - free.value, memory[2]]
        call("cudaSetDevice", 1)
        show(used())
        address = malloc(1 << 30)
        show(used())
        call("cudaFree", void(address))
        show(used())
        """,
        CUDA_VISIBLE_DEVICES="2,3",
    )
    assert before[0] == CONTEXT_OVERHEAD
    assert [now - then for now, then in zip(within, before, strict=True)] == [1 << 30] * 2
    assert after == before
    assert {record.touched for record in machine.ledger.records()} - {None} == set(uuids(machine, 3))
