"""The simulated libnvidia-ml.so.1, continued: MIG instances, events, fields, clocks, and GPUs that fall sick."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from typing import Any

import pynvml
import pytest
from simulated_programs import CONTEXT, MEBIBYTE, ask, ask_around, environ, holding, on

from pytest_gpuvisibility.simulator import Machine
from pytest_gpuvisibility.simulator.smi import nvml as smi

# Every program begins so. tried(): a function's answer, as something that JSON has; its error as "error <code>".
BEGIN = """
import ctypes, json, sys
from pynvml import *

def plain(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, ctypes.Array):
        return [plain(part) for part in value]
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, ctypes.Structure):
        return {name: plain(getattr(value, name)) for name, *_ in value._fields_ if name != "device"}
    return getattr(value, "value", value) if not isinstance(value, (int, str, float)) else value

def tried(function, *arguments):
    try:
        return plain(function(*arguments))
    except NVMLError as error:
        return f"error {error.value}"

nvmlInit()
"""


def error(name: str) -> str:
    return f"error {getattr(pynvml, f'NVML_ERROR_{name}')}"


# ---- MIG ----


@on("mig")
def test_gpu_instances_and_compute_instances_are_those_of_the_inventory(machine: Machine) -> None:
    code = (
        BEGIN
        + """
gpu = nvmlDeviceGetHandleByIndex(1)
profile = nvmlDeviceGetGpuInstanceProfileInfo(gpu, NVML_GPU_INSTANCE_PROFILE_3_SLICE)
array = (c_nvmlGpuInstance_t * profile.instanceCount)()
count = c_uint()
nvmlDeviceGetGpuInstances(gpu, profile.id, array, byref(count))
found = []
for gpu_instance in array[:count.value]:
    gpu_instance = ctypes.cast(gpu_instance, c_nvmlGpuInstance_t)
    info = nvmlGpuInstanceGetInfo(gpu_instance)
    compute_profile = nvmlGpuInstanceGetComputeInstanceProfileInfo(gpu_instance, 2, 0)
    compute_instance = nvmlGpuInstanceGetComputeInstanceById(gpu_instance, 0)
    compute = nvmlComputeInstanceGetInfo_v2(compute_instance)
    found.append([info.id, info.profileId, info.placement.size, nvmlDeviceGetIndex(info.device),
                  compute.id, compute.placement.size, compute_profile.sliceCount])
print(json.dumps({
    "profile": [profile.id, profile.sliceCount, profile.multiprocessorCount],
    "found": found,
    "left": [nvmlDeviceGetGpuInstanceRemainingCapacity(gpu, id) for id in (9, 19)],
    "by id": tried(nvmlDeviceGetGpuInstanceById, gpu, 9),
    "on a whole GPU": tried(nvmlDeviceGetGpuInstanceRemainingCapacity, nvmlDeviceGetHandleByIndex(0), 9),
    "no such profile": tried(nvmlDeviceGetGpuInstanceProfileInfo, gpu, 99),
}))
"""
    )
    answer = ask(machine, code)
    slices = machine.inventory.devices[1].mig
    assert answer == {
        "profile": [9, 3, 42],
        "found": [[slice_.gpu_instance, 9, 4, 1, slice_.compute_instance, 3, 3] for slice_ in slices],
        "left": [0, 0],
        "by id": error("NOT_FOUND"),
        "on a whole GPU": error("NOT_SUPPORTED"),
        "no such profile": error("INVALID_ARGUMENT"),
    }


# ---- events ----


def test_a_program_waits_for_events_until_its_time_is_up(machine: Machine) -> None:
    code = (
        BEGIN
        + """
gpu = nvmlDeviceGetHandleByIndex(2)
events = nvmlEventSetCreate()
types = nvmlDeviceGetSupportedEventTypes(gpu)
print(json.dumps({
    "types": types & nvmlEventTypeXidCriticalError,
    "register": tried(nvmlDeviceRegisterEvents, gpu, types, events),
    "unknown": tried(nvmlDeviceRegisterEvents, gpu, 1 << 62, events),
    "no set": tried(nvmlDeviceRegisterEvents, gpu, types, ctypes.c_void_p(4096)),
    "wait": tried(nvmlEventSetWait_v2, events, 1),
    "free": tried(nvmlEventSetFree, events),
    "freed": tried(nvmlEventSetWait_v2, events, 1),
}))
"""
    )
    assert ask(machine, code) == {
        "types": pynvml.nvmlEventTypeXidCriticalError,
        "register": None,
        "unknown": error("NOT_SUPPORTED"),
        "no set": error("INVALID_ARGUMENT"),
        "wait": error("TIMEOUT"),
        "free": None,
        "freed": error("INVALID_ARGUMENT"),
    }


def test_a_gpu_that_is_lost_ends_the_wait_once(machine: Machine) -> None:
    code = (
        BEGIN
        + """
gpu = nvmlDeviceGetHandleByIndex(2)
events = nvmlEventSetCreate()
nvmlDeviceRegisterEvents(gpu, nvmlEventTypeXidCriticalError, events)
print("ready", flush=True)
event = nvmlEventSetWait_v2(events, 60000)
print(json.dumps([event.eventType, event.eventData, tried(nvmlEventSetWait_v2, events, 1)]))
"""
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environ(machine), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        machine.set_faults(2, ["lost"])
        assert json.loads(process.stdout.read()) == [pynvml.nvmlEventTypeXidCriticalError, 79, error("TIMEOUT")]


# ---- readings ----


@on("mixed4")
def test_each_field_says_for_itself_whether_it_was_read(machine: Machine) -> None:
    code = (
        BEGIN
        + """
FIELDS = [NVML_FI_DEV_POWER_INSTANT, NVML_FI_DEV_MEMORY_TEMP, NVML_FI_DEV_NVLINK_LINK_COUNT, NVML_FI_DEV_REMAPPED_UNC,
          NVML_FI_DEV_RETIRED_DBE, 9999]
print(json.dumps([
    [value.nvmlReturn for value in nvmlDeviceGetFieldValues(nvmlDeviceGetHandleByIndex(index), FIELDS)]
    for index in range(4)
]))
"""
    )
    no = pynvml.NVML_ERROR_NOT_SUPPORTED
    consumer, a100, l40s = [0, no, 0, no, no, no], [0, 0, 0, 0, no, no], [0, no, 0, 0, no, no]
    assert ask(machine, code) == [consumer, consumer, a100, l40s]


@on("mixed4")
def test_monitors_read_clocks_pages_and_counters(machine: Machine) -> None:
    code = (
        BEGIN
        + """
def about(gpu):
    memory = nvmlDeviceGetSupportedMemoryClocks(gpu)
    graphics = nvmlDeviceGetSupportedGraphicsClocks(gpu, memory[0])
    return {
        "memory clocks": memory[0] == nvmlDeviceGetMaxClockInfo(gpu, NVML_CLOCK_MEM),
        "graphics clocks": graphics[0] == nvmlDeviceGetMaxClockInfo(gpu, NVML_CLOCK_GRAPHICS) and min(graphics) > 0,
        "no such clock": tried(nvmlDeviceGetSupportedGraphicsClocks, gpu, 1),
        "retired": tried(nvmlDeviceGetRetiredPages, gpu, 0),
        "remapped": tried(nvmlDeviceGetRemappedRows, gpu),
        "ecc": tried(nvmlDeviceGetTotalEccErrors, gpu, 1, 0),
        "nvlink": tried(nvmlDeviceGetNvLinkState, gpu, 0),
        "limits": sorted(nvmlDeviceGetPowerManagementLimitConstraints(gpu))[0] > 0,
        "violation": tried(lambda: nvmlDeviceGetViolationStatus(gpu, 0).violationTime),
        "utilization": tried(nvmlDeviceGetProcessUtilization, gpu, 0),
        "board": tried(nvmlDeviceGetBoardPartNumber, gpu) != "",
        "same board": nvmlDeviceOnSameBoard(gpu, nvmlDeviceGetHandleByIndex(0)),
        "near": len(nvmlDeviceGetTopologyNearestGpus(gpu, NVML_TOPOLOGY_NODE)),
    }

print(json.dumps([about(nvmlDeviceGetHandleByIndex(index)) for index in range(4)]))
"""
    )
    no = error("NOT_SUPPORTED")
    always = {
        "memory clocks": True,
        "graphics clocks": True,
        "no such clock": error("NOT_FOUND"),
        "retired": no,
        "nvlink": no,
        "limits": True,
        "violation": 0,
        "utilization": error("NOT_FOUND"),
        "board": True,
        "near": 3,
    }
    consumer = {**always, "remapped": no, "ecc": no}
    data_centre = {**always, "remapped": [0, 0, 0, 0], "ecc": 0}
    expected = [consumer, consumer, data_centre, data_centre]
    assert ask(machine, code) == [{**one, "same board": int(index == 0)} for index, one in enumerate(expected)]


# ---- sick GPUs ----

# Calls every exported nvmlDevice... function that reads, with a handle taken before and a zeroed buffer for each of its
# other arguments. Which of them answer is compared before and after the GPU falls sick.
EVERY_FUNCTION = (
    BEGIN
    + """
import re
from pathlib import Path
nvml = ctypes.CDLL("libnvidia-ml.so.1")
names = sorted(set(re.findall(rb"nvmlDevice(?:Get|Is)[A-Za-z0-9_]+", Path(nvml._name and sys.argv[1]).read_bytes())))
handle = nvmlDeviceGetHandleByIndex(2)
print("ready", flush=True)
sys.stdin.readline()
NOT_OF_A_DEVICE = (b"nvmlDeviceGetHandleBy", b"nvmlDeviceGetCount", b"nvmlDeviceGetVgpu", b"nvmlDeviceGetActiveVgpus",
                   b"nvmlDeviceGetSupportedVgpus", b"nvmlDeviceGetCreatableVgpus")
WANT_A_LENGTH = (b"Affinity", b"nvmlDeviceGetSupportedPerformanceStates", b"nvmlDeviceGetFieldValues")
codes = {}
for name in names:
    if name.startswith(NOT_OF_A_DEVICE) or not hasattr(nvml, name.decode()):
        continue
    if any(part in name for part in WANT_A_LENGTH):
        continue
    buffers = [ctypes.create_string_buffer(1 << 16) for _ in range(5)]
    codes[name.decode()] = nvml[name.decode()](handle, *buffers)
print(json.dumps(codes))
"""
)


def test_a_sick_gpu_answers_no_function_for_a_handle_taken_before(machine: Machine) -> None:
    from pytest_gpuvisibility.simulator import library_directory

    library = str(library_directory() / "libnvidia-ml.so.1")

    def codes(*faults: str) -> dict[str, int]:
        answer: dict[str, int] = ask_around(
            machine, EVERY_FUNCTION, library, event=lambda: machine.set_faults(2, list(faults))
        )
        machine.set_faults(2, [])
        return answer

    healthy, lost = codes(), codes("lost")
    answered = {name for name, code in healthy.items() if code != pynvml.NVML_ERROR_NOT_SUPPORTED}
    assert len(answered) > 100
    assert {name: lost[name] for name in answered if lost[name] != pynvml.NVML_ERROR_GPU_IS_LOST} == {}


# ---- memory, of which totals are kept for some milliseconds ----


def test_a_reader_sees_at_once_what_is_taken_and_soon_who_was_killed(machine: Machine) -> None:
    code = (
        BEGIN
        + """
import time
gpu = nvmlDeviceGetHandleByIndex(0)
used = lambda: nvmlDeviceGetMemoryInfo(gpu, nvmlMemory_v2).used
for line in sys.stdin:
    if line == "look\\n":
        print(used(), flush=True)
    else:
        start = time.monotonic()
        while used():
            pass
        print(time.monotonic() - start, flush=True)
"""
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environ(machine), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdin
        assert reader.stdout

        def ask_reader(what: str) -> float:
            assert reader.stdin
            assert reader.stdout
            print(what, file=reader.stdin, flush=True)
            return float(reader.stdout.readline())

        assert ask_reader("look") == 0
        with holding(machine, 0, 64) as first:
            assert ask_reader("look") == (CONTEXT + 64) * MEBIBYTE
            with holding(machine, 0, 32) as second:
                assert ask_reader("look") == (2 * CONTEXT + 96) * MEBIBYTE
                for process in (first, second):
                    process.kill()
                    process.wait()
                assert ask_reader("wait") < 1


# ---- the binary interface ----


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (smi.Memory, pynvml.c_nvmlMemory_v2_t),
        (smi.Bar1, pynvml.c_nvmlBAR1Memory_t),
        (smi.Pci, pynvml.nvmlPciInfo_t),
        (smi.PciExt, pynvml.nvmlPciInfoExt_v1_t),
        (smi.Utilization, pynvml.c_nvmlUtilization_t),
        (smi.Process, pynvml.c_nvmlProcessInfo_v3_t),
        (smi.Attributes, pynvml.c_nvmlDeviceAttributes),
        (smi.Remapping, pynvml.c_nvmlRowRemapperHistogramValues),
        (smi.Margin, pynvml.c_nvmlMarginTemperature_v1_t),
        (smi.Platform, pynvml.c_nvmlPlatformInfo_v2_t),
        (smi.FieldValue, pynvml.c_nvmlFieldValue_t),
        (smi.Fabric, pynvml.c_nvmlGpuFabricInfo_v3_t),
    ],
)
def test_structures_of_nvidia_smi_are_laid_out_as_nvidias(ours: Any, theirs: Any) -> None:
    assert ctypes.sizeof(ours) == ctypes.sizeof(theirs)
    places = [getattr(ours, name).offset for name, *_ in ours._fields_]
    assert places == [getattr(theirs, name).offset for name, *_ in theirs._fields_]
