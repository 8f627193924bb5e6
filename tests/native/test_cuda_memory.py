"""The families of libcuda.so.1 that manage memory: virtual memory, pools, managed memory, peers, and memory between
processes.
"""

from __future__ import annotations

import textwrap
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

SETUP = """
call(driver.cuInit, 0)
use(0)
MIB = 1 << 20
D = driver

def location(ordinal=0):
    made = D.CUmemLocation()
    made.type, made.id = D.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE, ordinal
    return made

def properties(ordinal=0, shared=False):
    made = D.CUmemAllocationProp()
    made.type = D.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    made.location = location(ordinal)
    types = D.CUmemAllocationHandleType
    made.requestedHandleTypes = (
        types.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR if shared else types.CU_MEM_HANDLE_TYPE_NONE
    )
    return made

def access(ordinal=0, how="READWRITE"):
    made = D.CUmemAccessDesc()
    made.location = location(ordinal)
    made.flags = getattr(D.CUmemAccess_flags, "CU_MEM_ACCESS_FLAGS_PROT_" + how)
    return made

def mapped(size, handle):
    pointer = int(call(D.cuMemAddressReserve, size, 0, 0, 0))
    call(D.cuMemMap, pointer, size, 0, handle, 0)
    call(D.cuMemSetAccess, pointer, size, [access()], 1)
    return pointer

def write(pointer, data):
    return code(D.cuMemcpyHtoD, pointer, data, len(data))

def read(pointer, size):
    data = bytearray(size)
    call(D.cuMemcpyDtoH, data, pointer, size)
    return bytes(data)

def free():
    return call(D.cuMemGetInfo)[0]
"""


def client(script: str) -> str:
    return SETUP + textwrap.dedent(script)


# ---- virtual memory ----


def test_memory_is_mapped_where_addresses_were_reserved(machine: Machine, run: Callable[..., Any]) -> None:
    script = """
    size = call(D.cuMemGetAllocationGranularity, properties(), D.CUmemAllocationGranularity_flags(0))
    pointer = int(call(D.cuMemAddressReserve, 4 * size, 0, 0, 0))
    first, second = call(D.cuMemCreate, size, properties(), 0), call(D.cuMemCreate, 2 * size, properties(), 0)
    call(D.cuMemMap, pointer, size, 0, first, 0)
    call(D.cuMemMap, pointer + size, 2 * size, 0, second, 0)
    before = [write(pointer, b"x"), code(D.cuMemGetAccess, location(), pointer)]
    call(D.cuMemSetAccess, pointer, 3 * size, [access()], 1)
    data = os.urandom(2 * size)  # across both mappings
    after = [write(pointer + size // 2, data), read(pointer + size // 2, 2 * size) == data]
    show([size, before, after, int(call(D.cuMemGetAccess, location(), pointer))])
    show([write(pointer + 3 * size - 1, b"xx"), write(pointer + 3 * size, b"x"), code(D.cuMemcpy, pointer,
         pointer + 3 * size, 1)])
    """
    size_and_access, beyond = run(machine, client(script))
    assert size_and_access == [2 * MIB, [INVALID_VALUE, 0], [0, True], 3]
    assert beyond == [INVALID_VALUE] * 3


def test_memory_lives_as_long_as_a_handle_or_a_mapping(machine: Machine, run: Callable[..., Any]) -> None:
    script = """
    all_of_it, size = free(), 1 << 30
    handle = call(D.cuMemCreate, size, properties(), 0)
    left = [all_of_it - free()]
    one, other = mapped(size, handle), mapped(size, handle)
    call(D.cuMemRelease, handle)
    left.append(all_of_it - free())
    again = code(D.cuMemRelease, handle)
    write(one, b"shared")
    show([read(other, 6) == b"shared", again])
    kept = call(D.cuMemRetainAllocationHandle, one + 5)
    show(int(call(D.cuMemGetAllocationPropertiesFromHandle, kept).location.id))
    for pointer in (one, other):
        call(D.cuMemUnmap, pointer, size)
        call(D.cuMemAddressFree, pointer, size)
    left.append(all_of_it - free())
    call(D.cuMemRelease, kept)
    left.append(all_of_it - free())
    show(left)
    """
    shared, device, left = run(machine, client(script))
    assert shared == [True, INVALID_VALUE]
    assert device == 0
    assert left == [GIB, GIB, GIB, 0]
    assert [r.bytes for r in machine.ledger.records() if r.event == "alloc"] == [GIB]


def test_virtual_memory_refuses_what_cuda_refuses(machine: Machine, run: Callable[..., Any]) -> None:
    script = """
    size = 2 * MIB
    pointer = int(call(D.cuMemAddressReserve, 2 * size, 0, 0, 0))
    handle = call(D.cuMemCreate, size, properties(), 0)
    show([
        code(D.cuMemCreate, size + 1, properties(), 0),
        code(D.cuMemCreate, size, properties(9), 0),
        code(D.cuMemCreate, 1 << 50, properties(), 0),
        code(D.cuMemAddressReserve, 4095, 0, 0, 0),
        code(D.cuMemAddressReserve, size, 3, 0, 0),
        code(D.cuMemMap, pointer, 2 * size, 0, handle, 0),
        code(D.cuMemMap, pointer, size, size, handle, 0),
        code(D.cuMemMap, pointer + 2 * size, size, 0, handle, 0),
        code(D.cuMemSetAccess, pointer, size, [access()], 1),
    ])
    call(D.cuMemMap, pointer, size, 0, handle, 0)
    show([
        code(D.cuMemMap, pointer, size, 0, handle, 0),
        code(D.cuMemAddressFree, pointer, 2 * size),
        code(D.cuMemUnmap, pointer, size // 2),
        code(D.cuMemUnmap, pointer, 2 * size),
        code(D.cuMemSetAccess, pointer, size, [access(9)], 1),
        code(D.cuMemFree, pointer),
        code(D.cuMemExportToShareableHandle, handle, D.CUmemAllocationHandleType(1), 0),
    ])
    call(D.cuMemSetAccess, pointer, size, [access(0, "READ"), access(1)], 2)
    show([int(call(D.cuMemGetAccess, location(i), pointer)) for i in range(3)])
    """
    early, later, flags = run(machine, client(script))
    assert early == [INVALID_VALUE, INVALID_DEVICE, OUT_OF_MEMORY] + [INVALID_VALUE] * 6
    assert later == [INVALID_VALUE] * 4 + [INVALID_DEVICE, INVALID_VALUE, INVALID_VALUE]
    assert flags == [1, 3, 0]


SENDS = """
import array, socket
handle = call(D.cuMemCreate, 2 * MIB, properties(shared=True), 0)
pointer = mapped(2 * MIB, handle)
write(pointer, b"from one")
address = sys.argv[1]
server = socket.socket(socket.AF_UNIX)
server.bind(address)
server.listen()
show(0)
client, _ = server.accept()
file = int(call(D.cuMemExportToShareableHandle, handle, D.CUmemAllocationHandleType(1), 0))
socket.send_fds(client, [b"x"], [file])
client.recv(1)
show([read(pointer, 10).decode(), machine_used()])
"""
RECEIVES = """
import socket
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
_, (file,), _, _ = socket.recv_fds(client, 1, 1)
handle = call(D.cuMemImportFromShareableHandle, file, D.CUmemAllocationHandleType(1))
os.close(file)
before = free()
pointer = mapped(2 * MIB, handle)
seen = read(pointer, 8).decode()
write(pointer, b"from other")
client.send(b"x")
show([seen, before - free(), int(call(D.cuMemGetAllocationPropertiesFromHandle, handle).location.id)])
"""


def test_memory_is_passed_on_as_a_file_descriptor(
    machine: Machine, start: Start, run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    address = str(tmp_path_factory.mktemp("s") / "s")
    used = "machine_used = lambda: call(D.cuMemGetInfo)[1] - free()\n"
    sender = start(machine, client(used + SENDS), address, CUDA_VISIBLE_DEVICES="2")
    next_shown(sender)
    assert run(machine, client(RECEIVES), address, CUDA_VISIBLE_DEVICES="2") == ["from one", 0, 0]
    text, taken = next_shown(sender)
    assert text == "from other"
    assert taken in (2 * MIB + CONTEXT_OVERHEAD, 2 * MIB + 2 * CONTEXT_OVERHEAD)


# ---- pools ----


def test_a_pool_keeps_what_it_is_told_to_keep(machine: Machine, run: Callable[..., Any]) -> None:
    script = """
    A = D.CUmemPool_attribute
    def get(name):
        return int(call(D.cuMemPoolGetAttribute, pool, getattr(A, "CU_MEMPOOL_ATTR_" + name)))
    def sizes():
        return [get(name) >> 20 for name in ("USED_MEM_CURRENT", "USED_MEM_HIGH", "RESERVED_MEM_CURRENT")]
    stream, before = call(D.cuStreamCreate, 0), free()
    pool = call(D.cuDeviceGetDefaultMemPool, 0)
    steps = []
    def step():
        steps.append([*sizes(), before - free() >> 20])
    first = call(D.cuMemAllocAsync, 100 * MIB, stream)
    step()
    call(D.cuMemFreeAsync, first, stream)
    step()
    call(D.cuMemPoolSetAttribute, pool, A.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, D.cuuint64_t(60 * MIB))
    second = call(D.cuMemAllocAsync, 100 * MIB, stream)
    pool_of = call(D.cuPointerGetAttribute, D.CUpointer_attribute.CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, second)
    call(D.cuMemFree, second)
    step()
    call(D.cuMemPoolTrimTo, pool, 10 * MIB)
    step()
    call(D.cuMemPoolSetAttribute, pool, A.CU_MEMPOOL_ATTR_USED_MEM_HIGH, D.cuuint64_t(0))
    step()
    reuse = A.CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC
    show([steps, int(pool_of) == int(pool), int(call(D.cuMemPoolGetAttribute, pool, reuse)),
          code(D.cuMemPoolSetAttribute, pool, A.CU_MEMPOOL_ATTR_USED_MEM_HIGH, D.cuuint64_t(1)),
          code(D.cuMemAllocAsync, 0, stream), code(D.cuMemAllocAsync, 1 << 50, stream)])
    """
    steps, same, reuse, *errors = run(machine, client(script))
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
    script = """
    before = free()
    def make(ordinal=0, limit=0, type=0):
        wanted = D.CUmemPoolProps()
        wanted.allocType = D.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
        wanted.location, wanted.maxSize = location(ordinal), limit
        wanted.handleTypes = D.CUmemAllocationHandleType(type)
        return D.cuMemPoolCreate(wanted)
    _, pool = make(limit=50 * MIB)
    default = call(D.cuDeviceGetDefaultMemPool, 0)
    call(D.cuDeviceSetMemPool, 0, pool)
    mine = int(call(D.cuDeviceGetMemPool, 0)) == int(pool)
    pointer = call(D.cuMemAllocAsync, 40 * MIB, 0)
    too_much = code(D.cuMemAllocAsync, 20 * MIB, 0)
    elsewhere = code(D.cuMemAllocFromPoolAsync, 20 * MIB, default, 0)
    call(D.cuMemPoolDestroy, pool)
    back = int(call(D.cuDeviceGetMemPool, 0)) == int(default)
    show([mine, too_much, elsewhere, back, write(pointer, b"still there"), code(D.cuMemPoolTrimTo, pool, 0)])
    call(D.cuMemFreeAsync, pointer, 0)
    show([before - free() >> 20, code(D.cuMemPoolDestroy, default), int(make(type=1)[0]), int(make(9)[0])])
    _, other = make(1)
    show([code(D.cuDeviceSetMemPool, 0, other), code(D.cuMemPoolSetAccess, other, [access(0)], 1),
          code(D.cuMemPoolSetAccess, other, [access(1, "NONE")], 1),
          [int(call(D.cuMemPoolGetAccess, other, location(i))) for i in range(3)]])
    """
    pools, destroyed, accesses = run(machine, client(script))
    assert pools == [True, OUT_OF_MEMORY, 0, True, 0, INVALID_VALUE]
    assert destroyed == [20, INVALID_VALUE, NOT_SUPPORTED, INVALID_VALUE]
    assert accesses == [INVALID_VALUE, 0, INVALID_VALUE, [3, 3, 0]]


def test_the_attributes_announce_what_there_is(machine: Machine, run: Callable[..., Any]) -> None:
    script = """
    names = ("VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED", "HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED",
             "MEMORY_POOLS_SUPPORTED", "MEMPOOL_SUPPORTED_HANDLE_TYPES", "IPC_EVENT_SUPPORTED", "MANAGED_MEMORY",
             "MULTICAST_SUPPORTED", "HOST_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED")
    show([call(D.cuDeviceGetAttribute, getattr(D.CUdevice_attribute, "CU_DEVICE_ATTRIBUTE_" + n), 0) for n in names])
    """
    assert run(machine, client(script)) == [1, 1, 1, 0, 1, 1, 0, 0]


# ---- managed memory ----


def test_managed_memory_is_the_hosts_and_the_devices(machine: Machine, run: Callable[..., Any]) -> None:
    script = """
    pointer = int(call(D.cuMemAllocManaged, 2 * MIB, 1))
    ctypes.memset(pointer, 7, 100)
    host = D.CUmemLocation()
    host.type = D.CUmemLocationType.CU_MEM_LOCATION_TYPE_HOST
    advice = D.CUmem_advise.CU_MEM_ADVISE_SET_PREFERRED_LOCATION
    plain = call(D.cuMemAlloc, 4096)
    show([read(pointer, 3) == bytes([7] * 3),
          code(D.cuMemAdvise, pointer, 2 * MIB, advice, location(1)),
          code(D.cuMemAdvise, pointer, 2 * MIB, advice, host),
          code(D.cuMemPrefetchAsync, pointer, 4096, location(), 0, 0)])
    show([code(D.cuMemAdvise, pointer, 2 * MIB + 1, advice, host),
          code(D.cuMemAdvise, plain, 4096, advice, host),
          code(D.cuMemAdvise, pointer, 4096, advice, location(9)),
          code(D.cuMemPrefetchAsync, pointer, 4096, location(9), 0, 0),
          code(D.cuMemAllocManaged, 4096, 4)])
    """
    accepted, refused = run(machine, client(script))
    assert accepted == [True, 0, 0, 0]
    assert refused == [INVALID_VALUE, INVALID_VALUE, INVALID_DEVICE, INVALID_DEVICE, INVALID_VALUE]


# ---- peers ----


def test_peer_access_is_enabled_once_and_dies_with_the_peer(machine: Machine, run: Callable[..., Any]) -> None:
    script = """
    peer = call(D.cuDevicePrimaryCtxRetain, 1)
    own = call(D.cuCtxGetCurrent)
    def enable():
        return code(D.cuCtxEnablePeerAccess, peer, 0)
    show([code(D.cuCtxDisablePeerAccess, peer), enable(), enable(), code(D.cuCtxDisablePeerAccess, peer), enable(),
          code(D.cuCtxEnablePeerAccess, peer, 1), code(D.cuCtxEnablePeerAccess, own, 0)])
    call(D.cuDevicePrimaryCtxRelease, 1)
    gone = enable()
    peer = call(D.cuDevicePrimaryCtxRetain, 1)
    show([gone, enable()])
    """
    errors, again = run(machine, client(script))
    assert errors == [PEER_NOT_ENABLED, 0, PEER_ENABLED, 0, 0, INVALID_VALUE, INVALID_CONTEXT]
    assert again == [INVALID_CONTEXT, 0]


def test_slices_are_no_peers(make_machine: Callable[..., Machine], run: Callable[..., Any]) -> None:
    machine = make_machine("mig")
    script = """
    peer = call(D.cuDevicePrimaryCtxRetain, 1)
    show([int(call(D.cuDeviceCanAccessPeer, 0, 1)), code(D.cuCtxEnablePeerAccess, peer, 0)])
    """
    assert run(machine, client(script)) == [0, PEER_UNSUPPORTED]


def test_memory_is_copied_between_devices(machine: Machine, run: Callable[..., Any]) -> None:
    script = """
    own = call(D.cuCtxGetCurrent)
    here = call(D.cuMemAlloc, 4096)
    use(1)
    peer = call(D.cuCtxGetCurrent)
    there = call(D.cuMemAlloc, 4096)
    write(here, bytes(range(64)) * 64)
    call(D.cuMemcpyPeer, there, peer, here, own, 4096)
    whole = read(there, 4096) == bytes(range(64)) * 64
    box = D.CUDA_MEMCPY3D_PEER()
    box.srcMemoryType = box.dstMemoryType = D.CUmemorytype.CU_MEMORYTYPE_DEVICE
    box.srcDevice, box.srcContext, box.srcPitch, box.srcHeight, box.srcXInBytes = here, own, 64, 64, 60
    box.dstDevice, box.dstContext, box.dstPitch, box.dstHeight = there, peer, 64, 64
    box.WidthInBytes, box.Height, box.Depth = 4, 2, 1
    call(D.cuMemcpy3DPeer, box)
    show([whole, list(read(there, 4)), list(read(int(there) + 64, 6)),
          code(D.cuMemcpyPeer, there, D.CUcontext(0), here, own, 4096),
          code(D.cuMemcpyPeer, there, peer, here, own, 4097)])
    """
    assert run(machine, client(script)) == [
        True,
        [60, 61, 62, 63],
        [60, 61, 62, 63, 4, 5],
        INVALID_CONTEXT,
        INVALID_VALUE,
    ]


# ---- between processes ----

EXPORTS = """
pointer = int(call(D.cuMemAlloc, 3 * MIB))
write(pointer, b"from one")
event = call(D.cuEventCreate, 2 | 4)
handles = [call(D.cuIpcGetMemHandle, pointer), call(D.cuIpcGetEventHandle, event)]
own = handles[0]
show([ctypes.string_at(handle.getPtr(), 64).hex() for handle in handles])
show(code(D.cuIpcOpenMemHandle, own, 1))
sys.stdin.readline()
show(read(pointer, 10).decode())
"""
IMPORTS = """
memory, event = D.CUipcMemHandle(), D.CUipcEventHandle()
for handle, text in zip((memory, event), sys.argv[1:]):
    ctypes.memmove(handle.getPtr(), bytes.fromhex(text), 64)
def opened():
    return D.cuIpcOpenMemHandle(memory, 1)
result, pointer = opened()
if int(result):
    show([int(result), code(D.cuIpcOpenEventHandle, event)])
    sys.exit()
pointer, before = int(pointer), free()
again = int(opened()[1])
seen = read(pointer, 8).decode()
write(pointer, b"from other")
imported = call(D.cuIpcOpenEventHandle, event)
ready = [code(D.cuEventQuery, imported), code(D.cuIpcGetEventHandle, imported)]
errors = [code(D.cuMemFree, pointer), code(D.cuIpcOpenMemHandle, memory, 0), write(pointer + 3 * MIB, b"x")]
closed = [code(D.cuIpcCloseMemHandle, pointer) for _ in range(3)]
show([seen, pointer == again, before - free(), ready, errors, closed])
"""


def test_memory_and_events_are_shared_between_processes(
    machine: Machine, start: Start, run: Callable[..., Any]
) -> None:
    exporter = start(machine, client(EXPORTS), CUDA_VISIBLE_DEVICES="1")
    handles = next_shown(exporter)
    assert next_shown(exporter) == INVALID_CONTEXT, "a process cannot open its own"
    seen, same, taken, ready, errors, closed = run(machine, client(IMPORTS), *handles, CUDA_VISIBLE_DEVICES="3,1")
    assert (seen, same, taken) == ("from one", True, 0)
    assert ready == [0, INVALID_HANDLE]
    assert errors == [INVALID_VALUE, INVALID_VALUE, INVALID_VALUE]
    assert closed == [0, 0, INVALID_VALUE]
    assert exporter.stdin is not None
    print(file=exporter.stdin, flush=True)
    assert next_shown(exporter) == "from other"
    exporter.wait()
    assert run(machine, client(IMPORTS), *handles) == [MAP_FAILED, MAP_FAILED]


def test_what_cannot_be_shared_is_refused(
    machine: Machine, make_machine: Callable[..., Machine], run: Callable[..., Any]
) -> None:
    script = """
    pooled = call(D.cuMemAllocAsync, 4096, 0)
    managed = call(D.cuMemAllocManaged, 4096, 1)
    show([code(D.cuIpcGetMemHandle, pooled), code(D.cuIpcGetMemHandle, managed), code(D.cuIpcGetMemHandle, 1),
          code(D.cuEventCreate, 4), code(D.cuIpcGetEventHandle, call(D.cuEventCreate, 0)),
          code(D.cuIpcOpenMemHandle, D.CUipcMemHandle(), 1)])
    """
    assert run(machine, client(script)) == [INVALID_VALUE] * 4 + [INVALID_HANDLE, INVALID_VALUE]
    on_slice = "show(code(D.cuIpcGetMemHandle, call(D.cuMemAlloc, 4096)))"
    mig = make_machine("mig")
    slices = mig.inventory.devices[1].mig
    assert run(mig, client(on_slice), CUDA_VISIBLE_DEVICES=slices[0].uuid) == INVALID_VALUE


@pytest.mark.parametrize(
    "hostile",
    [
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))",
        "call(D.cuMemAlloc, 4096); os.closerange(3, 256)",
    ],
    ids=["limited files", "closed files"],
)
def test_memory_needs_no_file(machine: Machine, run: Callable[..., Any], hostile: str) -> None:
    """A program that may not have the file that memory lies in, or has closed it, has memory all the same."""
    script = f"""
    kept = call(D.cuMemAlloc, 4096)
    {hostile}
    pointer, handle = call(D.cuMemAlloc, MIB), call(D.cuMemCreate, 2 * MIB, properties(), 0)
    data = os.urandom(MIB)
    write(pointer, data)
    show([read(pointer, MIB) == data, write(mapped(2 * MIB, handle), data), write(kept, b"x"),
          code(D.cuIpcGetMemHandle, kept)])
    """
    same, *codes = run(machine, client(script))
    assert same
    assert codes[:2] == [0, 0]
    assert codes[2] in (0, MAP_FAILED)


def test_freed_memory_is_given_back_to_the_host(machine: Machine, run: Callable[..., Any]) -> None:
    script = """
    def resident():
        (line,) = (line for line in open("/proc/self/status") if line.startswith("RssShmem"))
        return int(line.split()[1]) >> 10
    pointer = int(call(D.cuMemAlloc, 64 * MIB))
    call(D.cuMemsetD8, pointer, 1, 64 * MIB)
    written = resident()
    call(D.cuMemsetD8, pointer, 0, 64 * MIB)
    zeroed = resident()
    zero = read(pointer + 12345, 3) == bytes(3)
    call(D.cuMemsetD8, pointer, 1, 64 * MIB)
    call(D.cuMemFree, pointer)
    blocks = sum(os.stat(f"/proc/self/fd/{name}").st_blocks for name in os.listdir("/proc/self/fd")
                 if "gpu-visibility" in os.path.realpath(f"/proc/self/fd/{name}") and
                 "memfd" in os.path.realpath(f"/proc/self/fd/{name}"))
    show([written >= 64, zeroed < 8, zero, blocks])
    """
    assert run(machine, client(script)) == [True, True, True, 0]


def test_slices_are_devices_of_their_own(make_machine: Callable[..., Machine], run: Callable[..., Any]) -> None:
    machine = make_machine("mig")
    slices = machine.inventory.devices[1].mig
    script = """
    A = D.CUdevice_attribute
    show([call(D.cuDeviceTotalMem, 0), call(D.cuMemGetInfo)[1],
          call(D.cuDeviceGetAttribute, A.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0),
          call(D.cuDeviceGetAttribute, A.CU_DEVICE_ATTRIBUTE_COMPUTE_MODE, 0),
          code(D.cuMemCreate, call(D.cuDeviceTotalMem, 0) // (2 * MIB) * 2 * MIB, properties(), 0)])
    """
    shown = run(machine, client(script), CUDA_VISIBLE_DEVICES=slices[1].uuid)
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
    ask = client("show([free(), code(D.cuMemAlloc, free() + MIB)])")
    with Machine.create(inventory) as machine:
        with holding(machine, 0, held, CUDA_VISIBLE_DEVICES=cut.mig[0].uuid):
            shared = run(machine, ask, CUDA_VISIBLE_DEVICES=one.uuid)
            apart = run(machine, ask, CUDA_VISIBLE_DEVICES=other_instance.uuid)
        alone = run(machine, ask, CUDA_VISIBLE_DEVICES=one.uuid)
    assert shared == [one.memory - held * MIB - 2 * CONTEXT_OVERHEAD, OUT_OF_MEMORY]
    assert apart == [other_instance.memory - CONTEXT_OVERHEAD, OUT_OF_MEMORY]
    assert alone == [one.memory - CONTEXT_OVERHEAD, OUT_OF_MEMORY]
