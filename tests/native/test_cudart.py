"""libcudart.so.12 and libcudart.so.13 as their clients see them: C compiled against NVIDIA's headers, and ctypes, each
in a process of its own that asks for NVIDIA's library, by DT_RPATH or by its path.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import textwrap
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


def test_the_edges_of_allocating(machine: Machine, release: Release) -> None:
    answers = release.ask(
        machine,
        """
        def result(function, *arguments):
            address = void(1)
            return [code(function, ctypes.byref(address), *arguments), address.value]
        show([result("cudaMalloc", size(0)), result("cudaMallocHost", size(0)), code("cudaFree", None),
              code("cudaFreeHost", None)])
        address = malloc(4096)
        show([code("cudaFree", void(address + 1)), code("cudaFree", void(address)), code("cudaFree", void(address))])
        show(code("cudaMalloc", ctypes.byref(void()), size(200 << 30)))
        show(code("cudaMalloc", None, size(1)))
        managed = malloc(4096, "cudaMallocManaged", 1)
        ctypes.memset(managed, 7, 4096)
        show([ctypes.string_at(managed, 1)[0], code("cudaFree", void(managed))])
        pitch, pitched = size(), void()
        call("cudaMallocPitch", ctypes.byref(pitched), ctypes.byref(pitch), size(100), size(3))
        show(pitch.value)
        """,
    )
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
    answers = release.ask(
        machine,
        """
        data, back = bytes(range(256)) * 4, ctypes.create_string_buffer(1024)
        a, b = malloc(1024), malloc(1024)
        call("cudaMemcpy", void(a), data, size(1024), TO_DEVICE)
        call("cudaMemcpyAsync", void(b), void(a), size(1024), BETWEEN, None)
        call("cudaMemcpy", back, void(b), size(1024), TO_HOST)
        show(back.raw == data)
        call("cudaMemset", void(b), 0xab, size(1000))
        call("cudaMemcpy", back, void(b), size(1024), DEFAULT)
        show(back.raw == b"\\xab" * 1000 + data[1000:])
        call("cudaSetDevice", 2)
        c = malloc(1024)
        call("cudaMemcpyPeer", void(c), 2, void(a), 0, size(1024))
        call("cudaMemcpy", back, void(c), size(1024), TO_HOST)
        show(back.raw == data)
        call("cudaMemset2D", void(c), size(64), 0, size(16), size(16))
        small = ctypes.create_string_buffer(256)
        call("cudaMemcpy2D", small, size(16), void(c), size(64), size(16), size(16), TO_HOST)
        show(small.raw == bytes(256))
        call("cudaMemcpy2DAsync", small, size(16), void(c + 16), size(64), size(16), size(16), TO_HOST, None)
        show(small.raw == b"".join(data[row * 64 + 16 : row * 64 + 32] for row in range(16)))
        show([code("cudaMemcpy", back, void(c), size(1), 9), code("cudaMemcpy", back, void(c), size(1025), TO_HOST),
              code("cudaMemcpy2D", small, size(8), void(c), size(64), size(16), size(1), TO_HOST),
              code("cudaMemcpyPeer", void(c), 9, void(a), 0, size(1))])
        """,
    )
    assert answers[:-1] == [True] * 5
    assert answers[-1] == [
        "cudaErrorInvalidMemcpyDirection",
        "cudaErrorInvalidValue",
        "cudaErrorInvalidPitchValue",
        "cudaErrorInvalidDevice",
    ]


def test_what_a_pointer_is(machine: Machine, release: Release) -> None:
    kinds = release.ask(
        machine,
        """
        class Attributes(ctypes.Structure):
            _fields_ = [("type", ctypes.c_int), ("device", ctypes.c_int), ("on_device", void), ("on_host", void),
                        ("reserved", ctypes.c_long * 8)]
        def what(pointer):
            found = Attributes()
            call("cudaPointerGetAttributes", ctypes.byref(found), void(pointer))
            same = {None: None, pointer: "same"}
            return [found.type, found.device, same[found.on_device], same[found.on_host]]
        call("cudaSetDevice", 1)
        here = ctypes.create_string_buffer(4096)
        show(what(malloc(4096) + 100))
        show(what(malloc(4096, "cudaMallocManaged", 1)))
        show(what(malloc(4096, "cudaMallocHost")))
        show(what(ctypes.addressof(here)))
        call("cudaHostRegister", here, size(4096), 0)
        show(what(ctypes.addressof(here)))
        call("cudaHostUnregister", here)
        show(code("cudaHostUnregister", here))
        """,
    )
    assert kinds == [
        [2, 1, "same", None],
        [3, 1, "same", "same"],
        [1, 1, "same", "same"],
        [0, -2, None, "same"],
        [1, 1, "same", "same"],
        "cudaErrorHostMemoryNotRegistered",
    ]


def test_memory_in_the_order_of_a_stream(machine: Machine, release: Release) -> None:
    assert release.ask(
        machine,
        """
        stream = get("cudaStreamCreate", type=void)
        address = malloc(1 << 20, "cudaMallocAsync", void(stream))
        pool = get("cudaDeviceGetDefaultMemPool", 0, type=void)
        used = ctypes.c_uint64()
        call("cudaMemPoolGetAttribute", void(pool), 7, ctypes.byref(used))  # cudaMemPoolAttrUsedMemCurrent
        show(used.value)
        call("cudaFreeAsync", void(address), void(stream))
        call("cudaMemPoolTrimTo", void(pool), size(0))
        call("cudaMemPoolGetAttribute", void(pool), 7, ctypes.byref(used))
        show(used.value)
        call("cudaStreamDestroy", void(stream))
        show(code("cudaFreeAsync", void(address), None))
        """,
    ) == [1 << 20, 0, "cudaErrorInvalidValue"]


# ---- streams, events, callbacks ----


def test_streams_and_events(machine: Machine, release: Release) -> None:
    answers = release.ask(
        machine,
        """
        least, greatest = ctypes.c_int(), ctypes.c_int()
        call("cudaDeviceGetStreamPriorityRange", ctypes.byref(least), ctypes.byref(greatest))
        stream = void()
        call("cudaStreamCreateWithPriority", ctypes.byref(stream), 1, greatest)
        priority, flags, status = ctypes.c_int(), ctypes.c_uint(), ctypes.c_int(7)
        call("cudaStreamGetPriority", stream, ctypes.byref(priority))
        call("cudaStreamGetFlags", stream, ctypes.byref(flags))
        call("cudaStreamIsCapturing", stream, ctypes.byref(status))
        show([priority.value == greatest.value < 0, flags.value, status.value])
        first, second = void(get("cudaEventCreate", type=void)), void(get("cudaEventCreate", type=void))
        show(code("cudaEventElapsedTime", ctypes.byref(ctypes.c_float()), first, second))
        call("cudaEventRecord", first, stream)
        call("cudaStreamWaitEvent", stream, first, 0)
        called = []
        callback = ctypes.CFUNCTYPE(None, void, ctypes.c_int, void)(lambda *rest: called.append(rest[1:]))
        call("cudaStreamAddCallback", stream, callback, void(5), 0)
        call("cudaStreamSynchronize", stream)
        call("cudaEventRecord", second, stream)
        call("cudaEventSynchronize", second)
        milliseconds = ctypes.c_float(-1)
        call("cudaEventElapsedTime", ctypes.byref(milliseconds), first, second)
        show([called, code("cudaEventQuery", second), code("cudaStreamQuery", stream), milliseconds.value >= 0])
        call("cudaEventDestroy", second)
        call("cudaStreamDestroy", stream)
        show([code("cudaStreamDestroy", stream), code("cudaStreamSynchronize", stream)])
        """,
    )
    assert answers == [
        [True, 1, 0],
        "cudaErrorInvalidResourceHandle",
        [[[0, 5]], "cudaSuccess", "cudaSuccess", True],
        ["cudaErrorInvalidResourceHandle", "cudaErrorInvalidResourceHandle"],
    ]


# ---- devices and threads ----


def test_each_thread_has_its_device_and_its_last_error(machine: Machine, release: Release) -> None:
    answers = release.ask(
        machine,
        """
        import threading
        show([code("cudaSetDevice", 9)] + [code(f"cuda{which}LastError") for which in ("PeekAt", "Get", "Get")])
        show([get("cudaGetDevice"), code("cudaSetDevice", 3), get("cudaGetDevice")])
        code("cudaSetDevice", 9)
        there = []
        def other():
            there.extend([code("cudaPeekAtLastError"), get("cudaGetDevice")])
            call("cudaSetDevice", 1)
            there.append(get("cudaGetDevice"))
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        show([there, get("cudaGetDevice"), code("cudaGetLastError")])
        """,
    )
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
    assert release.ask(
        machine,
        """
        def free():
            values = size(), size()
            call("cudaMemGetInfo", *map(ctypes.byref, values))
            return values[0].value
        before = free()
        address = malloc(1 << 30)
        call("cudaDeviceReset")
        show([code("cudaFree", void(address)), free() == before])
        """,
    ) == [["cudaErrorInvalidValue", True]]


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
    assert release.ask(
        machine,
        """
        import os
        call("cudaSetDevice", 0)
        if child := os.fork():
            os.waitpid(child, 0)
        else:
            show([code("cudaSetDevice", 0), code("cudaMalloc", ctypes.byref(void()), size(1))])
            os._exit(0)
        """,
    ) == [["cudaErrorInitializationError"] * 2]


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
    assert release.ask(
        machine,
        """
        import os, subprocess
        class Handle(ctypes.Structure):
            _fields_ = [("bytes", ctypes.c_char * 64)]
        if len(sys.argv) == 2:
            address, handle = malloc(1024), Handle()
            call("cudaMemset", void(address), 5, size(1024))
            call("cudaIpcGetMemHandle", ctypes.byref(handle), void(address))
            code = open("/proc/self/cmdline").read().split("\\0")[2]
            other = [sys.executable, "-c", code, sys.argv[1], bytes(handle).hex()]
            print(subprocess.check_output(other, text=True), end="")
        else:
            handle, address = Handle.from_buffer_copy(bytes.fromhex(sys.argv[2])), void()
            back = ctypes.create_string_buffer(1024)
            call("cudaIpcOpenMemHandle", ctypes.byref(address), handle, 1)
            call("cudaMemcpy", back, address, size(1024), TO_HOST)
            show(back.raw == b"\\5" * 1024)
            call("cudaIpcCloseMemHandle", address)
        """,
    ) == [True]


# ---- kernels ----

KERNELS = """
class Dim3(ctypes.Structure):
    _fields_ = [("x", ctypes.c_uint), ("y", ctypes.c_uint), ("z", ctypes.c_uint)]
register = cuda["__cudaRegisterFunction"]
register.argtypes = [void, void, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, *[void] * 5]
cuda.cudaLaunchKernel.argtypes = [void, Dim3, Dim3, void, size, void]
begin, end, forget = (cuda["__cuda" + name] for name in
                      ("RegisterFatBinary", "RegisterFatBinaryEnd", "UnregisterFatBinary"))
begin.restype = void
code_of = [ctypes.create_string_buffer(1) for _ in range(1000)]
binaries = [begin(b"not looked at") for _ in range(10)]
names = [b"kernel_%d" % i for i in range(len(code_of))]  # kept, as those of a program are
for i, host in enumerate(code_of):
    register(binaries[i % 10], host, b"", names[i], -1, *[None] * 5)
for binary in binaries:
    end(void(binary))
def launch(host, grid=(1, 1, 1), block=(32, 1, 1)):
    return code("cudaLaunchKernel", host, Dim3(*grid), Dim3(*block), None, 0, None)
"""


def test_a_launch_is_refused_by_an_error_of_its_own(machine: Machine, release: Release) -> None:
    refused, mistakes, text = release.ask(
        machine,
        KERNELS
        + textwrap.dedent(
            """
            show([launch(code_of[0]), code("cudaGetLastError"), launch(code_of[999])])
            show([launch(void(1)), launch(code_of[3], grid=(0, 1, 1))])
            show(cuda.cudaGetErrorString(209).decode())
            """
        ),
    )
    assert refused == ["cudaErrorNoKernelImageForDevice"] * 3
    assert mistakes == ["cudaErrorInvalidDeviceFunction", "cudaErrorInvalidConfiguration"]
    assert text.startswith("no kernel image is available for execution on the device: a simulated GPU runs no kernels")
    assert "--launch noop" in text
    assert machine.kernel_launches() == (0, 2)


def test_skipped_launches_succeed(make_machine: Callable[..., Machine], release: Release) -> None:
    machine = make_machine(kernel_launches="noop")
    answers = release.ask(
        machine,
        KERNELS
        + textwrap.dedent(
            """
            call("cudaSetDevice", 1)
            show(sorted({launch(host) for host in code_of}))
            show([get("cudaFuncGetName", host, type=ctypes.c_char_p) for host in code_of] == names)
            show(get("cudaOccupancyMaxActiveBlocksPerMultiprocessor", code_of[0], 256, size(0)))
            forget(void(binaries[3]))
            show([launch(code_of[3]), launch(code_of[4])])
            """
        ),
    )
    assert answers == [["cudaSuccess"], True, 8, ["cudaErrorInvalidDeviceFunction", "cudaSuccess"]]
    assert machine.kernel_launches() == (1001, 0)
    assert {record.uuid for record in machine.ledger.records() if record.event == "launch"} == set(uuids(machine, 1))


# ---- what leads elsewhere, and what is not offered ----


def test_the_drivers_functions_are_found(machine: Machine, release: Release) -> None:
    assert release.ask(
        machine,
        """
        function, status, count = void(), ctypes.c_int(9), ctypes.c_int()
        to_function, flags, to_status = ctypes.byref(function), ctypes.c_ulonglong(), ctypes.byref(status)
        call("cudaGetDriverEntryPointByVersion", b"cuDeviceGetCount", to_function, 12000, flags, to_status)
        get("cudaGetDeviceCount")
        show([status.value, ctypes.CFUNCTYPE(ctypes.c_int, void)(function.value)(ctypes.byref(count)), count.value])
        found = code("cudaGetDriverEntryPoint", b"cuNothing", to_function, flags, to_status)
        show([found, function.value, status.value])
        """,
    ) == [[0, 0, 4], ["cudaSuccess", None, 1]]


def test_every_other_function_is_refused_by_name(machine: Machine, release: Release) -> None:
    found = exports.read(library_directory() / release.soname)
    (answered,) = release.ask(
        machine,
        f"""
        call("cudaSetDevice", 0)
        none, answers = [void()] * 10, {{}}
        for function in {found.refused!r}:
            if hasattr(cuda, function):
                result = cuda[function](*none)
                answers[function] = [result, cuda.cudaGetErrorString(result).decode(), cuda.cudaGetLastError()]
        show(answers)
        """,
    )
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
    answers = release.ask(
        machine,
        f"""
        zeros = ctypes.create_string_buffer(1 << 16)
        middle = void(ctypes.addressof(zeros) + 4096)
        for initialised in False, True:
            if initialised:
                call("cudaSetDevice", 0)
            for function in {sorted(set(found.answered) - spared)!r}:
                if hasattr(cuda, function):
                    print(function, file=sys.stderr, flush=True)
                    cuda[function](*[void()] * 10)
                    if not function.startswith("__"):  # those are called by what nvcc compiles, with handles of ours
                        cuda[function](*[middle] * 10)
        show("alive")
        """,
    )
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
