"""libcuda.so.1 as its clients see it: NVIDIA's own Python bindings and plain ctypes, each in a process of its
own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cuda_programs import CONTEXT_OVERHEAD, Start, next_shown, uuids

from pytest_gpuvisibility.simulator import Machine, library_directory

pytest.importorskip("cuda.bindings", reason="NVIDIA's CUDA bindings (dependency group `test`) are not installed")

GIB = 1 << 30

NO_DEVICE, NOT_INITIALIZED, NOT_SUPPORTED, OUT_OF_MEMORY = 100, 3, 801, 2

# ---- what a process sees ----

SEES = """
result = code(driver.cuInit, 0)
count = call(driver.cuDeviceGetCount) if result == 0 else 0
show([result, [uuid(i) for i in range(count)]])
"""


@pytest.mark.parametrize(
    ("mask", "indices"),
    [
        (None, [0, 1, 2, 3]),
        ("1,0", [1, 0]),
        ("", []),
        ("0,-1,1", [0]),
        ("{3},{0}", [3, 0]),
        ("{2:.8}", [2]),
        ("0,0", []),
    ],
)
def test_a_client_sees_what_its_mask_says(
    machine: Machine, run: Callable[..., Any], mask: str | None, indices: list[int]
) -> None:
    variables = {} if mask is None else {"CUDA_VISIBLE_DEVICES": mask.format(*uuids(machine, 0, 1, 2, 3))}
    result, seen = run(machine, SEES, **variables)
    assert seen == uuids(machine, *indices)
    assert result == (0 if indices else NO_DEVICE)


def test_the_default_order_is_fastest_first(make_machine: Callable[..., Machine], run: Callable[..., Any]) -> None:
    machine = make_machine("mixed4")
    assert run(machine, SEES)[1] == uuids(machine, 2, 0, 3, 1)
    assert run(machine, SEES, CUDA_DEVICE_ORDER="PCI_BUS_ID")[1] == uuids(machine, 0, 1, 2, 3)


def test_devices_are_described_as_the_inventory_has_them(
    make_machine: Callable[..., Machine], run: Callable[..., Any]
) -> None:
    machine = make_machine("mixed4")
    shown = run(machine, "cuda/described_devices.py", CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert shown == [
        [
            device.name,
            device.memory,
            device.pci_bus_id[4:].lower(),
            device.compute_capability[0],
            device.multiprocessors,
            device.index,
        ]
        for device in machine.inventory.devices
    ]


def test_slices_have_their_own_uuid_memory_and_name(
    make_machine: Callable[..., Machine], run: Callable[..., Any]
) -> None:
    machine = make_machine("mig")
    script = """
    call(driver.cuInit, 0)
    def is_slice(i):
        return b" MIG 3g.40gb" in call(driver.cuDeviceGetName, 80, i)
    count = call(driver.cuDeviceGetCount)
    show([[uuid(i)[4:], call(driver.cuDeviceTotalMem, i), is_slice(i)] for i in range(count)])
    """
    whole, cut = machine.inventory.devices
    assert run(machine, script) == [
        [whole.uuid[4:], whole.memory, False],
        *([unit.uuid[4:], unit.memory, True] for unit in cut.mig),
    ]
    assert [device.uuid for device in machine.probe(machine.environ(os.environ)).devices] == [
        whole.uuid,
        *(unit.uuid for unit in cut.mig),
    ]


def test_the_mask_is_read_at_the_first_initialisation_and_never_again(
    machine: Machine, run: Callable[..., Any]
) -> None:
    script = """
    os.environ["CUDA_VISIBLE_DEVICES"] = "2,1"
    call(driver.cuInit, 0)
    os.environ["CUDA_VISIBLE_DEVICES"] = "0"
    call(driver.cuInit, 0)
    show([uuid(i) for i in range(call(driver.cuDeviceGetCount))])
    """
    assert run(machine, script, CUDA_VISIBLE_DEVICES="3") == uuids(machine, 2, 1)


def test_a_failed_initialisation_stays_failed(machine: Machine, run: Callable[..., Any]) -> None:
    script = """
    first = code(driver.cuInit, 0)
    os.environ["CUDA_VISIBLE_DEVICES"] = "0"
    show([first, code(driver.cuInit, 0), code(driver.cuDeviceGetCount)])
    """
    assert run(machine, script, CUDA_VISIBLE_DEVICES="-1") == [NO_DEVICE, NO_DEVICE, NOT_INITIALIZED]


def test_a_forked_child_cannot_use_what_its_parent_initialised(machine: Machine, run: Callable[..., Any]) -> None:
    assert run(machine, "cuda/forked.py") == [[NOT_INITIALIZED] * 3, 0]


@pytest.mark.parametrize("broken", ["unset", "nowhere", "empty", "other"])
def test_without_a_machine_there_is_no_device_and_no_noise(
    machine: Machine, run: Callable[..., Any], tmp_path: Path, broken: str
) -> None:
    directory = {"unset": "", "nowhere": str(tmp_path / "nowhere")}.get(broken, str(tmp_path))
    if broken == "other":
        (tmp_path / "state").write_bytes(b"\0" * (machine.directory / "state").stat().st_size)
    script = """
    number = ctypes.byref(ctypes.c_int())
    show([cuda.cuInit(0), cuda.cuDeviceGetCount(number), cuda.cuDriverGetVersion(number),
          cuda.cuCtxSynchronize(), cuda.cuMulticastCreate()])
    """
    shown = run(machine, script, GPU_VISIBILITY_MACHINE=directory)
    assert shown == [NO_DEVICE, NOT_INITIALIZED, NO_DEVICE, NOT_INITIALIZED, NOT_SUPPORTED]


# ---- memory ----


def test_memory_keeps_what_is_written_to_it(machine: Machine, run: Callable[..., Any]) -> None:
    assert run(machine, "cuda/copies.py") == [True, True]


def test_rectangles_are_copied_between_pitches(machine: Machine, run: Callable[..., Any]) -> None:
    assert run(machine, "cuda/rectangles.py") == [[True] * 4, 1]


def test_copies_stay_inside_the_allocation(machine: Machine, run: Callable[..., Any]) -> None:
    assert run(machine, "cuda/copies_beyond.py") == [[1, 1, 0], [1, 1], [0, 1, 1], 1]


def test_a_gpu_gives_no_more_than_it_has_and_takes_it_back(machine: Machine, run: Callable[..., Any]) -> None:
    total = machine.inventory.devices[0].memory
    free = total - CONTEXT_OVERHEAD
    assert run(machine, "cuda/takes_everything.py") == [free, total, OUT_OF_MEMORY, 0, OUT_OF_MEMORY, free]


HOLDS = """
call(driver.cuInit, 0)
use(0)
call(driver.cuMemAlloc, int(sys.argv[1]))
show(os.getpid())
sys.stdin.readline()
"""


def test_memory_is_shared_by_all_processes_until_they_die(
    machine: Machine, start: Start, run: Callable[..., Any]
) -> None:
    holder = start(machine, HOLDS, str(5 * GIB), CUDA_VISIBLE_DEVICES="2")
    pid = next_shown(holder)
    total = machine.inventory.devices[2].memory
    ask = "call(driver.cuInit, 0); use(0); show(call(driver.cuMemGetInfo)[0])"
    assert run(machine, ask, CUDA_VISIBLE_DEVICES="2") == total - 5 * GIB - 2 * CONTEXT_OVERHEAD
    seen = machine.snapshot()
    assert [(p["pid"], p["unit_uuid"], p["contexts"], p["bytes"]) for p in seen["processes"]] == [
        (pid, *uuids(machine, 2), 1, 5 * GIB)
    ]
    assert [device["used"] for device in seen["devices"]] == [0, 0, 5 * GIB + CONTEXT_OVERHEAD, 0]
    holder.kill()
    # Dead, but its parent has not yet asked: the driver gives the memory back at once.
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert machine.snapshot()["processes"] == []
    assert run(machine, ask, CUDA_VISIBLE_DEVICES="2") == total - CONTEXT_OVERHEAD


def test_a_program_that_replaces_itself_gives_everything_back(machine: Machine, start: Start) -> None:
    script = """
    call(driver.cuInit, 0)
    use(0)
    call(driver.cuMemAlloc, 1 << 30)
    show(0)
    sys.stdin.readline()
    os.execv("/bin/sh", ["sh", "-c", "echo 1; read line; exit"])
    """
    client = start(machine, script)
    assert client.stdin is not None
    assert next_shown(client) == 0
    assert len(machine.snapshot()["processes"]) == 1
    print(file=client.stdin, flush=True)
    assert next_shown(client) == 1
    assert machine.snapshot()["processes"] == []


def test_processes_that_fight_for_memory_never_get_more_than_there_is(machine: Machine, start: Start) -> None:
    clients = [start(machine, "cuda/fights_for_memory.py") for _ in range(4)]
    assert [next_shown(client) for client in clients] == [0] * 4
    for client in clients:
        assert client.stdin is not None
        print(file=client.stdin, flush=True)
    got = sum(next_shown(client) for client in clients)
    left = machine.inventory.devices[0].memory - 4 * CONTEXT_OVERHEAD - got
    assert 0 <= left < 1 << 28


def test_threads_may_allocate_and_free_at_once(machine: Machine, run: Callable[..., Any]) -> None:
    assert run(machine, "cuda/threads.py") == [[], machine.inventory.devices[0].memory - CONTEXT_OVERHEAD]


# ---- contexts ----


def test_an_exclusive_gpu_takes_one_process(
    make_machine: Callable[..., Machine], start: Start, run: Callable[..., Any]
) -> None:
    machine = make_machine("exclusive4")
    holder = start(machine, HOLDS, "1024", CUDA_VISIBLE_DEVICES="1")
    next_shown(holder)
    ask = "call(driver.cuInit, 0); show([code(driver.cuDevicePrimaryCtxRetain, i) for i in range(2)])"
    assert run(machine, ask, CUDA_VISIBLE_DEVICES="0,1") == [0, 46]
    holder.kill()
    holder.wait()
    assert run(machine, ask, CUDA_VISIBLE_DEVICES="0,1") == [0, 0]
    machine.set_compute_mode(1, "prohibited")
    assert run(machine, ask, CUDA_VISIBLE_DEVICES="0,1") == [0, 46]


def test_contexts_are_made_stacked_and_destroyed(machine: Machine, run: Callable[..., Any]) -> None:
    assert run(machine, "cuda/contexts.py") == [201, 1, True, 0, 201, 201, 201]


def test_releasing_the_primary_context_frees_its_memory(machine: Machine, run: Callable[..., Any]) -> None:
    assert run(machine, "cuda/primary_context.py") == [
        [0, 1, 0],
        machine.inventory.devices[0].memory - CONTEXT_OVERHEAD,
        1,
    ]


def test_streams_events_and_callbacks(machine: Machine, run: Callable[..., Any]) -> None:
    assert run(machine, "cuda/streams.py") == [[1, 2], True, 400, 0]


# ---- entry points ----


def test_every_function_of_the_header_is_there_and_survives_nulls(machine: Machine, run: Callable[..., Any]) -> None:
    assert run(machine, "cuda/every_function.py") == [[], True, True]


def test_entry_points_are_found_by_name_and_version(machine: Machine, run: Callable[..., Any]) -> None:
    contexts, allocations, uuids, itself, unknown, older, per_thread = run(machine, "cuda/entry_points.py")
    assert [name for _, _, name in contexts] == [
        "cuCtxCreate",
        "cuCtxCreate",
        "cuCtxCreate_v2",
        "cuCtxCreate_v3",
        "cuCtxCreate_v3",
        "cuCtxCreate_v4",
        "cuCtxCreate_v4",
    ]
    assert allocations == [[0, 0, "cuMemAlloc_v2"], [0, 0, "cuMemAlloc"]]
    assert uuids == [[0, 2, None], [0, 0, "cuDeviceGetUuid"]]
    assert itself == [[0, 0, "cuGetProcAddress_v2"], [0, 0, "cuGetProcAddress"]]
    assert unknown == [[0, 1, None], [0, 1, None], [1, 1, None]]
    assert older == [500, None]
    assert [name for _, _, name in per_thread] == ["cuGraphLaunch", "cuGraphLaunch", "cuGraphLaunch_ptsz"]


# ---- the ledger ----


def test_the_ledger_says_who_touched_what_under_which_mask(machine: Machine, run: Callable[..., Any]) -> None:
    pid = run(
        machine,
        "call(driver.cuInit, 0); use(1); call(driver.cuMemAlloc, 4096); show(os.getpid())",
        CUDA_VISIBLE_DEVICES="3,1",
    )
    records = machine.ledger.records()
    assert [(r.event, r.uuid, r.result, r.bytes) for r in records] == [
        ("init", None, 0, None),
        ("context", *uuids(machine, 1), 0, None),
        ("alloc", *uuids(machine, 1), 0, 4096),
    ]
    assert records[0].visible == tuple(uuids(machine, 3, 1))
    assert {r.touched for r in records} == {None, *uuids(machine, 1)}
    for record in records:
        assert (record.pid, record.ppid, record.argv0) == (pid, os.getpid(), sys.executable)
        assert (record.cuda_visible_devices, record.cuda_device_order) == ("3,1", None)


def test_what_the_simulation_does_not_offer_is_refused_and_recorded(machine: Machine, run: Callable[..., Any]) -> None:
    script = """
    table, identity = ctypes.c_void_p(1), (ctypes.c_char * 16)()
    early = cuda.cuGetExportTable(ctypes.byref(table), identity)
    call(driver.cuInit, 0)
    use(0)
    codes = [cuda.cuLinkCreate_v2(None) for _ in range(100)]
    show([early, table.value, set(codes) == {801}, code(driver.cuMulticastCreate, driver.CUmulticastObjectProp())])
    """
    assert run(machine, script, CUDA_VISIBLE_DEVICES="0") == [NOT_SUPPORTED, None, True, NOT_SUPPORTED]
    refused = [r for r in machine.ledger.records() if r.event == "refused"]
    assert [(r.function, r.count) for r in refused] == [
        ("cuGetExportTable", 1),
        *(("cuLinkCreate_v2", 2**i) for i in range(7)),
        ("cuMulticastCreate", 1),
    ]
    assert refused[0].uuid is None
    assert refused[0].cuda_visible_devices == "0"
    assert refused[1].uuid == uuids(machine, 0)[0]


def test_a_failed_attempt_does_not_hide_the_later_success(machine: Machine, run: Callable[..., Any]) -> None:
    script = """
    call(driver.cuInit, 0)
    use(0)
    for _ in range(3):
        code(driver.cuMemAlloc, 1 << 50)
    call(driver.cuMemAlloc, 1)
    """
    run(machine, script)
    allocations = [r for r in machine.ledger.records() if r.event == "alloc"]
    assert [(r.result, r.count) for r in allocations] == [(OUT_OF_MEMORY, 1), (OUT_OF_MEMORY, 2), (0, 1)]
    assert [r.touched is None for r in allocations] == [True, True, False]


@pytest.mark.parametrize("mask", ['0,"\\\t\x01', "0,\udcff\udc80é", "0," + "x" * 10_000])
def test_the_ledger_keeps_any_mask(machine: Machine, run: Callable[..., Any], mask: str) -> None:
    run(machine, "call(driver.cuInit, 0)", CUDA_VISIBLE_DEVICES=mask)
    (record,) = machine.ledger.records()
    assert record.cuda_visible_devices == mask[:4096]
    assert record.truncated == (len(mask) > 4096)


def test_launches_do_nothing_where_that_was_asked_for(
    make_machine: Callable[..., Machine], run: Callable[..., Any]
) -> None:
    script = """
    call(driver.cuInit, 0)
    use(0)
    function = call(driver.cuModuleGetFunction, call(driver.cuModuleLoadData, b"code"), b"add")
    show(code(driver.cuLaunchKernel, function, 1, 1, 1, 32, 1, 1, 0, 0, 0, 0))
    """
    machine = make_machine()
    assert run(machine, script) == NOT_SUPPORTED
    assert [r.function for r in machine.ledger.records() if r.event == "refused"] == ["cuLaunchKernel"]
    machine = make_machine(kernel_launches="noop")
    assert run(machine, script) == 0
    launch = machine.ledger.records()[-1]
    assert (launch.event, launch.function, launch.result, launch.touched) == (
        "launch",
        "cuLaunchKernel",
        0,
        None,
    )


def test_the_probe_leaves_no_record_and_no_context(machine: Machine) -> None:
    environ = {**machine.environ(os.environ), "CUDA_VISIBLE_DEVICES": "2,0"}
    result = machine.probe(environ)
    assert (result.result, [device.uuid for device in result.devices]) == (0, uuids(machine, 2, 0))
    assert [device.pci_bus_id for device in result.devices] == [machine.inventory.devices[i].pci_bus_id for i in (2, 0)]
    assert machine.probe({**environ, "CUDA_VISIBLE_DEVICES": "9"}).result == NO_DEVICE
    assert machine.ledger.records() == []
    assert machine.snapshot()["processes"] == []


def test_a_lost_gpu_is_not_enumerated(machine: Machine, run: Callable[..., Any]) -> None:
    machine.set_faults(1, ["lost"])
    assert run(machine, SEES)[1] == uuids(machine, 0, 2, 3)
    machine.set_faults(1, [])
    assert run(machine, SEES)[1] == uuids(machine, 0, 1, 2, 3)


def test_a_process_killed_while_it_initialises_blocks_nobody(
    machine: Machine, start: Start, run: Callable[..., Any]
) -> None:
    """Whatever a client was doing when it was killed, the next one can use all of the GPU."""
    clients = [start(machine, "cuda/allocates_for_ever.py") for _ in range(3)]
    for client in clients:
        next_shown(client)
    for client in clients:
        client.send_signal(signal.SIGKILL)
        client.wait()
    ask = "call(driver.cuInit, 0); use(0); show(call(driver.cuMemGetInfo)[0])"
    assert run(machine, ask) == machine.inventory.devices[0].memory - CONTEXT_OVERHEAD


def test_the_libraries_export_nothing_but_the_interface() -> None:
    run = subprocess.run(
        ["nm", "-D", "--defined-only", str(library_directory() / "libcuda.so.1")],
        capture_output=True,
        text=True,
        check=True,
    )
    others = {name for line in run.stdout.splitlines() if not (name := line.split()[-1]).startswith("cu")}
    for_the_runtime = {"gv_driver_refuse", "gv_driver_init_for_runtime"}
    for_the_plugin = {"gv_cuda_bonds", "gv_cuda_machine", "gv_cuda_shown", "gv_cuda_forget"}
    assert others == for_the_runtime | for_the_plugin
