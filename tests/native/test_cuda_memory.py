"""The families of libcuda.so.1 that manage memory: virtual memory, pools, managed memory, peers, and memory between
processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cuda_programs import CONTEXT_OVERHEAD, Start, next_shown, uuids
from simulated_programs import holding

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.simulator import Machine

pytest.importorskip("cuda.bindings", reason="NVIDIA's CUDA bindings (dependency group `test`) are not installed")

MIB, GIB = 1 << 20, 1 << 30
INVALID_VALUE, OUT_OF_MEMORY, INVALID_DEVICE, INVALID_CONTEXT, NOT_SUPPORTED = 1, 2, 101, 201, 801
MAP_FAILED, PEER_UNSUPPORTED, PEER_ENABLED, PEER_NOT_ENABLED, INVALID_HANDLE = 205, 217, 704, 705, 400

# ---- virtual memory ----


def test_memory_is_mapped_where_addresses_were_reserved(machine: Machine, run: Callable[..., Any]) -> None:
    size_and_access, beyond = run(machine, "cuda/mappings.py")
    assert size_and_access == [2 * MIB, [INVALID_VALUE, 0], [0, True], 3]
    assert beyond == [INVALID_VALUE] * 3


def test_memory_lives_as_long_as_a_handle_or_a_mapping(machine: Machine, run: Callable[..., Any]) -> None:
    shared, device, left = run(machine, "cuda/handles.py")
    assert shared == [True, INVALID_VALUE]
    assert device == 0
    assert left == [GIB, GIB, GIB, 0]
    assert [r.bytes for r in machine.ledger.records() if r.event == "alloc"] == [GIB]


def test_virtual_memory_refuses_what_cuda_refuses(machine: Machine, run: Callable[..., Any]) -> None:
    early, later, flags = run(machine, "cuda/wrong_mappings.py")
    assert early == [INVALID_VALUE, INVALID_DEVICE, OUT_OF_MEMORY] + [INVALID_VALUE] * 6
    assert later == [INVALID_VALUE] * 4 + [INVALID_DEVICE, INVALID_VALUE, INVALID_VALUE]
    assert flags == [1, 3, 0]


def test_memory_is_passed_on_as_a_file_descriptor(
    machine: Machine, start: Start, run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    address = str(tmp_path_factory.mktemp("s") / "s")
    sender = start(machine, "cuda/memory_sender.py", address, CUDA_VISIBLE_DEVICES="2")
    next_shown(sender)
    assert run(machine, "cuda/memory_receiver.py", address, CUDA_VISIBLE_DEVICES="2") == ["from one", 0, 0]
    text, taken = next_shown(sender)
    assert text == "from other"
    assert taken in (2 * MIB + CONTEXT_OVERHEAD, 2 * MIB + 2 * CONTEXT_OVERHEAD)


# ---- pools ----


def test_a_pool_keeps_what_it_is_told_to_keep(machine: Machine, run: Callable[..., Any]) -> None:
    steps, same, reuse, *errors = run(machine, "cuda/default_pool.py")
    assert steps == [
        [100, 100, 100, 100],
        [0, 100, 0, 0],
        [0, 100, 60, 60],
        [0, 100, 10, 10],
        [0, 0, 10, 10],
    ]
    assert (same, reuse) == (True, 1)
    assert errors == [INVALID_VALUE, INVALID_VALUE, OUT_OF_MEMORY]


def test_a_program_makes_and_destroys_pools(machine: Machine, run: Callable[..., Any]) -> None:
    pools, destroyed, accesses = run(machine, "cuda/own_pools.py")
    assert pools == [True, OUT_OF_MEMORY, 0, True, 0, INVALID_VALUE]
    assert destroyed == [20, INVALID_VALUE, NOT_SUPPORTED, INVALID_VALUE]
    assert accesses == [INVALID_VALUE, 0, INVALID_VALUE, [3, 3, 0]]


def test_the_attributes_announce_what_there_is(machine: Machine, run: Callable[..., Any]) -> None:
    script = """
    from memory import *
    names = ("VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED", "HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED",
             "MEMORY_POOLS_SUPPORTED", "MEMPOOL_SUPPORTED_HANDLE_TYPES", "IPC_EVENT_SUPPORTED", "MANAGED_MEMORY",
             "MULTICAST_SUPPORTED", "HOST_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED")
    show([call(D.cuDeviceGetAttribute, getattr(D.CUdevice_attribute, "CU_DEVICE_ATTRIBUTE_" + n), 0) for n in names])
    """
    assert run(machine, script) == [1, 1, 1, 0, 1, 1, 0, 0]


# ---- managed memory ----


def test_managed_memory_is_the_hosts_and_the_devices(machine: Machine, run: Callable[..., Any]) -> None:
    accepted, refused = run(machine, "cuda/managed_memory.py")
    assert accepted == [True, 0, 0, 0]
    assert refused == [INVALID_VALUE, INVALID_VALUE, INVALID_DEVICE, INVALID_DEVICE, INVALID_VALUE]


# ---- peers ----


def test_peer_access_is_enabled_once_and_dies_with_the_peer(machine: Machine, run: Callable[..., Any]) -> None:
    errors, again = run(machine, "cuda/peer_access.py")
    assert errors == [PEER_NOT_ENABLED, 0, PEER_ENABLED, 0, 0, INVALID_VALUE, INVALID_CONTEXT]
    assert again == [INVALID_CONTEXT, 0]


def test_slices_are_no_peers(make_machine: Callable[..., Machine], run: Callable[..., Any]) -> None:
    machine = make_machine("mig")
    script = """
    from memory import *
    peer = call(D.cuDevicePrimaryCtxRetain, 1)
    show([int(call(D.cuDeviceCanAccessPeer, 0, 1)), code(D.cuCtxEnablePeerAccess, peer, 0)])
    """
    assert run(machine, script) == [0, PEER_UNSUPPORTED]


def test_memory_is_copied_between_devices(machine: Machine, run: Callable[..., Any]) -> None:
    assert run(machine, "cuda/peer_copies.py") == [
        True,
        [60, 61, 62, 63],
        [60, 61, 62, 63, 4, 5],
        INVALID_CONTEXT,
        INVALID_VALUE,
    ]


# ---- between processes ----


def test_memory_and_events_are_shared_between_processes(
    machine: Machine, start: Start, run: Callable[..., Any]
) -> None:
    exporter = start(machine, "cuda/memory_exporter.py", CUDA_VISIBLE_DEVICES="1")
    handles = next_shown(exporter)
    assert next_shown(exporter) == INVALID_CONTEXT, "a process cannot open its own"
    seen, same, taken, ready, errors, closed = run(
        machine, "cuda/memory_importer.py", *handles, CUDA_VISIBLE_DEVICES="3,1"
    )
    assert (seen, same, taken) == ("from one", True, 0)
    assert ready == [0, INVALID_HANDLE]
    assert errors == [INVALID_VALUE, INVALID_VALUE, INVALID_VALUE]
    assert closed == [0, 0, INVALID_VALUE]
    assert exporter.stdin is not None
    print(file=exporter.stdin, flush=True)
    assert next_shown(exporter) == "from other"
    exporter.wait()
    assert run(machine, "cuda/memory_importer.py", *handles) == [MAP_FAILED, MAP_FAILED]


def test_what_cannot_be_shared_is_refused(
    machine: Machine, make_machine: Callable[..., Machine], run: Callable[..., Any]
) -> None:
    script = """
    from memory import *
    pooled = call(D.cuMemAllocAsync, 4096, 0)
    managed = call(D.cuMemAllocManaged, 4096, 1)
    show([code(D.cuIpcGetMemHandle, pooled), code(D.cuIpcGetMemHandle, managed), code(D.cuIpcGetMemHandle, 1),
          code(D.cuEventCreate, 4), code(D.cuIpcGetEventHandle, call(D.cuEventCreate, 0)),
          code(D.cuIpcOpenMemHandle, D.CUipcMemHandle(), 1)])
    """
    assert run(machine, script) == [INVALID_VALUE] * 4 + [INVALID_HANDLE, INVALID_VALUE]
    on_slice = "from memory import *; show(code(D.cuIpcGetMemHandle, call(D.cuMemAlloc, 4096)))"
    mig = make_machine("mig")
    slices = mig.inventory.devices[1].mig
    assert run(mig, on_slice, CUDA_VISIBLE_DEVICES=slices[0].uuid) == INVALID_VALUE


@pytest.mark.parametrize("hostile", ["limited files", "closed files"])
def test_memory_needs_no_file(machine: Machine, run: Callable[..., Any], hostile: str) -> None:
    """A program that may not have the file that memory lies in, or has closed it, has memory all the same."""
    same, *codes = run(machine, "cuda/memory_without_files.py", hostile)
    assert same
    assert codes[:2] == [0, 0]
    assert codes[2] in (0, MAP_FAILED)


def test_freed_memory_is_given_back_to_the_host(machine: Machine, run: Callable[..., Any]) -> None:
    assert run(machine, "cuda/memory_given_back.py") == [True, True, True, 0]


def test_slices_are_devices_of_their_own(make_machine: Callable[..., Machine], run: Callable[..., Any]) -> None:
    machine = make_machine("mig")
    slices = machine.inventory.devices[1].mig
    script = """
    from memory import *
    A = D.CUdevice_attribute
    show([call(D.cuDeviceTotalMem, 0), call(D.cuMemGetInfo)[1],
          call(D.cuDeviceGetAttribute, A.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0),
          call(D.cuDeviceGetAttribute, A.CU_DEVICE_ATTRIBUTE_COMPUTE_MODE, 0),
          code(D.cuMemCreate, call(D.cuDeviceTotalMem, 0) // (2 * MIB) * 2 * MIB, properties(), 0)])
    """
    shown = run(machine, script, CUDA_VISIBLE_DEVICES=slices[1].uuid)
    assert shown == [slices[1].memory, slices[1].memory, slices[1].multiprocessors, 0, OUT_OF_MEMORY]
    (context, alloc) = (r for r in machine.ledger.records() if r.event != "init")
    assert (context.uuid, alloc.uuid) == (slices[1].uuid, slices[1].uuid)
    assert uuids(machine, 1) != [context.uuid]


def test_compute_instances_of_one_gpu_instance_share_its_memory(run: Callable[..., Any]) -> None:
    mig = Inventory.load("mig")
    whole, cut = mig.devices
    one = replace(cut.mig[0], uuid="MIG-0c9e4c3e-a4a5-5ea8-8a01-16b74d4fa4a3", compute_instance=1)
    other_instance = cut.mig[1]
    inventory = replace(mig, devices=(whole, replace(cut, mig=(cut.mig[0], one, other_instance))))
    held = one.memory // 2 >> 20
    ask = "from memory import *; show([free(), code(D.cuMemAlloc, free() + MIB)])"
    with Machine.create(inventory) as machine:
        with holding(machine, 0, held, CUDA_VISIBLE_DEVICES=cut.mig[0].uuid):
            shared = run(machine, ask, CUDA_VISIBLE_DEVICES=one.uuid)
            apart = run(machine, ask, CUDA_VISIBLE_DEVICES=other_instance.uuid)
        alone = run(machine, ask, CUDA_VISIBLE_DEVICES=one.uuid)
    assert shared == [one.memory - held * MIB - 2 * CONTEXT_OVERHEAD, OUT_OF_MEMORY]
    assert apart == [other_instance.memory - CONTEXT_OVERHEAD, OUT_OF_MEMORY]
    assert alone == [one.memory - CONTEXT_OVERHEAD, OUT_OF_MEMORY]
