"""libcudart.so.12 and libcudart.so.13 as their clients see them: C compiled against NVIDIA's headers, and ctypes, each
in a process of its own that asks for NVIDIA's library, by DT_RPATH or by its path.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cuda_programs import CONTEXT_OVERHEAD, uuids
from cuda_runtimes import Release, releases
from places import PROGRAMS

from pytest_gpuvisibility import Inventory, resolve
from pytest_gpuvisibility.inventory import Device
from pytest_gpuvisibility.simulator import Machine, exports, library_directory

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
    release.compile(PROGRAMS / "c" / "cudart_client.c", program)
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


def test_a_program_compiled_before_cuda_12_has_a_shorter_structure(
    machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """cudaGetDeviceProperties of libcudart.so.12 fills that of CUDA 11; what CUDA 12 compiles calls ..._v2."""
    of_12 = releases(tmp_path_factory.mktemp("headers"))[12]
    assert of_12.ask(
        machine,
        """
        untouched, size_of_old = bytes([0xa5]) * 4096, 728
        old, new = (ctypes.create_string_buffer(untouched, 4096) for _ in range(2))
        call("cudaGetDeviceProperties", old, 1)
        call("cudaGetDeviceProperties_v2", new, 1)
        show([old.raw[:size_of_old] == new.raw[:size_of_old], old.raw[size_of_old:] == untouched[size_of_old:]])
        """,
    ) == [[True, True]]


# ---- memory ----


def test_memory_is_taken_from_the_device_and_seen_by_others(machine: Machine, release: Release) -> None:
    before, within, after = release.ask(machine, "cudart/memory_seen.py", CUDA_VISIBLE_DEVICES="2,3")
    assert before[0] == CONTEXT_OVERHEAD
    assert [now - then for now, then in zip(within, before, strict=True)] == [1 << 30] * 2
    assert after == before
    assert {record.touched for record in machine.ledger.records()} - {None} == set(uuids(machine, 3))


def test_the_edges_of_allocating(machine: Machine, release: Release) -> None:
    answers = release.ask(machine, "cudart/allocations.py")
    success = "cudaSuccess"
    assert answers == [
        [[success, None], [success, None], success, success],
        ["cudaErrorInvalidValue", success, "cudaErrorInvalidValue"],
        "cudaErrorMemoryAllocation",
        "cudaErrorInvalidValue",
        [7, success],
        512,
    ]


def test_copies_in_every_direction(machine: Machine, release: Release) -> None:
    answers = release.ask(machine, "cudart/copies.py")
    assert answers[:-1] == [True] * 5
    assert answers[-1] == [
        "cudaErrorInvalidMemcpyDirection",
        "cudaErrorInvalidValue",
        "cudaErrorInvalidPitchValue",
        "cudaErrorInvalidDevice",
    ]


def test_what_a_pointer_is(machine: Machine, release: Release) -> None:
    kinds = release.ask(machine, "cudart/pointers.py")
    assert kinds == [
        [2, 1, "same", None],
        [3, 1, "same", "same"],
        [1, 1, "same", "same"],
        [0, -2, None, "same"],
        [1, 1, "same", "same"],
        "cudaErrorHostMemoryNotRegistered",
    ]


def test_memory_in_the_order_of_a_stream(machine: Machine, release: Release) -> None:
    assert release.ask(machine, "cudart/memory_of_a_stream.py") == [1 << 20, 0, "cudaErrorInvalidValue"]


# ---- streams, events, callbacks ----


def test_streams_and_events(machine: Machine, release: Release) -> None:
    answers = release.ask(machine, "cudart/streams.py")
    assert answers == [
        [True, 1, 0],
        "cudaErrorInvalidResourceHandle",
        [[[0, 5]], "cudaSuccess", "cudaSuccess", True],
        ["cudaErrorInvalidResourceHandle", "cudaErrorInvalidResourceHandle"],
    ]


# ---- devices and threads ----


def test_each_thread_has_its_device_and_its_last_error(machine: Machine, release: Release) -> None:
    answers = release.ask(machine, "cudart/threads.py")
    success, ordinal = "cudaSuccess", "cudaErrorInvalidDevice"
    assert answers == [
        [ordinal, ordinal, ordinal, success],
        [0, success, 3],
        [[success, 0, 1], 3, ordinal],
    ]


def test_asking_opens_no_context_and_choosing_a_device_does(machine: Machine, release: Release) -> None:
    """From CUDA 12 on cudaSetDevice opens the primary context."""
    release.ask(
        machine,
        """
        get("cudaGetDeviceCount"), get("cudaGetDevice"), get("cudaDeviceGetAttribute", 75, 2)
        call("cudaDeviceGetPCIBusId", ctypes.create_string_buffer(32), 32, 1)
        get("cudaDeviceCanAccessPeer", 0, 1)
        """,
    )
    assert {record.event for record in machine.ledger.records()} == {"init"}
    release.ask(machine, 'call("cudaSetDevice", 2)')
    opened = [record.uuid for record in machine.ledger.records() if record.event == "context"]
    assert opened == uuids(machine, 2)


def test_a_reset_gives_everything_back(machine: Machine, release: Release) -> None:
    assert release.ask(machine, "cudart/reset.py") == [["cudaErrorInvalidValue", True]]


def test_peers(machine: Machine, release: Release) -> None:
    assert release.ask(
        machine,
        """
        show([get("cudaDeviceCanAccessPeer", 0, 1), get("cudaDeviceCanAccessPeer", 1, 1)])
        show([code("cudaDeviceEnablePeerAccess", 1, 0), code("cudaDeviceEnablePeerAccess", 1, 0),
              code("cudaDeviceDisablePeerAccess", 1), code("cudaDeviceDisablePeerAccess", 1),
              code("cudaDeviceEnablePeerAccess", 0, 0)])
        """,
    ) == [
        [1, 0],
        [
            "cudaSuccess",
            "cudaErrorPeerAccessAlreadyEnabled",
            "cudaSuccess",
            "cudaErrorPeerAccessNotEnabled",
            "cudaErrorInvalidDevice",
        ],
    ]


def test_a_forked_child_is_refused(machine: Machine, release: Release) -> None:
    assert release.ask(machine, "cudart/forked.py") == [["cudaErrorInitializationError"] * 2]


def test_a_driver_older_than_the_runtime_is_not_enough(release: Release) -> None:
    old = replace(Inventory.load("a100x2"), driver_version="470.256.02", cuda_version="11.4")
    with Machine.create(old) as machine:
        assert release.ask(
            machine,
            """
            count = ctypes.c_int(7)
            show([code("cudaGetDeviceCount", ctypes.byref(count)), count.value, get("cudaDriverGetVersion")])
            show(cuda.cudaGetErrorString(35).decode())
            """,
        ) == [
            ["cudaErrorInsufficientDriver", 0, 11040],
            "CUDA driver version is insufficient for CUDA runtime version",
        ]


def test_a_busy_device_is_not_available(machine: Machine, release: Release) -> None:
    machine.set_compute_mode(1, "prohibited")
    assert release.ask(machine, 'show([code("cudaSetDevice", 1), code("cudaSetDevice", 0)])') == [
        ["cudaErrorDevicesUnavailable", "cudaSuccess"]
    ]


# ---- between processes ----


def test_memory_is_shared_between_processes(machine: Machine, release: Release) -> None:
    assert release.ask(machine, "cudart/memory_shared.py") == [True]


# ---- kernels ----


def test_a_launch_is_refused_by_an_error_of_its_own(machine: Machine, release: Release) -> None:
    refused, mistakes, text = release.ask(
        machine,
        """
        from kernels import *
        show([launch(code_of[0]), code("cudaGetLastError"), launch(code_of[999])])
        show([launch(void(1)), launch(code_of[3], grid=(0, 1, 1))])
        show(cuda.cudaGetErrorString(209).decode())
        """,
    )
    assert refused == ["cudaErrorNoKernelImageForDevice"] * 3
    assert mistakes == ["cudaErrorInvalidDeviceFunction", "cudaErrorInvalidConfiguration"]
    assert text.startswith("no kernel image is available for execution on the device: a simulated GPU runs no kernels")
    assert "--launch noop" in text
    assert machine.kernel_launches() == (0, 2)


def test_skipped_launches_succeed(make_machine: Callable[..., Machine], release: Release) -> None:
    machine = make_machine(kernel_launches="noop")
    answers = release.ask(machine, "cudart/skipped_launches.py")
    assert answers == [["cudaSuccess"], True, 8, ["cudaErrorInvalidDeviceFunction", "cudaSuccess"]]
    assert machine.kernel_launches() == (1001, 0)
    assert {record.uuid for record in machine.ledger.records() if record.event == "launch"} == set(uuids(machine, 1))


# ---- what leads elsewhere, and what is not offered ----


def test_the_drivers_functions_are_found(machine: Machine, release: Release) -> None:
    assert release.ask(machine, "cudart/entry_points.py") == [[0, 0, 4], ["cudaSuccess", None, 1]]


def test_every_other_function_is_refused_by_name(machine: Machine, release: Release) -> None:
    found = exports.read(library_directory() / release.soname)
    (answered,) = release.ask(machine, "cudart/refused.py", *found.refused)
    assert len(answered) > 150
    assert {"cudaGraphLaunch", "cudaStreamBeginCapture", "cudaMallocArray", "cudaGetExportTable"} <= set(answered)
    for function, (result, text, last) in answered.items():
        assert (result, last) == (801, 801), function
        assert text == f"operation not supported: a simulated GPU does not offer {function}"
    refused = {record.function for record in machine.ledger.records() if record.event == "refused"}
    assert set(answered) <= refused


def test_error_codes_have_names(machine: Machine, release: Release) -> None:
    assert release.ask(
        machine,
        """
        for error in (0, 2, 101, 719, 12345):
            show([name(error), cuda.cudaGetErrorString(error).decode()])
        """,
    ) == [
        ["cudaSuccess", "no error"],
        ["cudaErrorMemoryAllocation", "out of memory"],
        ["cudaErrorInvalidDevice", "invalid device ordinal"],
        ["cudaErrorLaunchFailure", "unspecified launch failure"],
        ["unrecognized error code", "unrecognized error code"],
    ]


def test_no_argument_crashes_it(machine: Machine, release: Release) -> None:
    """Every function that is answered, with nothing and with a pointer to zeros, before and after initialisation."""
    found = exports.read(library_directory() / release.soname)
    # What they are given they call; and one returns a structure, where ctypes has no room for it.
    spared = {"cudaLaunchHostFunc", "cudaStreamAddCallback", "cudaCreateChannelDesc"}
    answers = release.ask(machine, "cudart/wrong_arguments.py", *sorted(set(found.answered) - spared))
    assert answers == ["alive"]


# ---- a program of nvcc's ----

TOLD = """\
malloc cudaSuccess
set cudaSuccess
variable cudaErrorNotSupported
size cudaSuccess 16
launch {launched}
twice {launched}
then cudaSuccess
empty cudaErrorInvalidConfiguration
attributes cudaSuccess 1024
occupancy cudaSuccess 8
synchronize cudaSuccess
back cudaSuccess 7
"""


@pytest.mark.parametrize("policy", ["error", "noop"])
def test_a_program_of_nvccs(make_machine: Callable[..., Machine], tmp_path: Path, policy: str) -> None:
    if not shutil.which("nvcc"):
        pytest.skip("needs nvcc, to compile kernels")
    program = tmp_path / "kernels"
    compile = ["nvcc", "-cudart", "shared", "-o", program, PROGRAMS / "c" / "kernels.cu"]
    subprocess.run(compile, check=True, capture_output=True)
    machine = make_machine(kernel_launches=policy)
    ended = subprocess.run([program], env=machine.environ(os.environ), capture_output=True, text=True, check=False)
    launched = "cudaSuccess" if policy == "noop" else "cudaErrorNoKernelImageForDevice"
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == TOLD.format(launched=launched)
    assert machine.kernel_launches() == ((1, 0) if policy == "noop" else (0, 1))
