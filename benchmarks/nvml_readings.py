"""Every reading of NVML that record_machine.py takes: each function that reads, with what it is asked.

What nvidia-ml-py has a function for is asked by that, so that what is recorded is what programs in Python are told.
"""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pynvml

Json = Any

# What functions are asked besides the GPU: one tuple of further arguments for each call.
ARGUMENTS: dict[str, list[tuple[object, ...]]] = {
    "nvmlDeviceGetTemperature": [(0,)],
    "nvmlDeviceGetTemperatureV": [(0,)],
    "nvmlDeviceGetTemperatureThreshold": [(threshold,) for threshold in range(8)],
    "nvmlDeviceGetClockInfo": [(clock,) for clock in range(4)],
    "nvmlDeviceGetMaxClockInfo": [(clock,) for clock in range(4)],
    "nvmlDeviceGetApplicationsClock": [(clock,) for clock in range(4)],
    "nvmlDeviceGetDefaultApplicationsClock": [(clock,) for clock in range(4)],
    "nvmlDeviceGetMaxCustomerBoostClock": [(clock,) for clock in range(4)],
    "nvmlDeviceGetInforomVersion": [(part,) for part in range(4)],
    "nvmlDeviceGetFanSpeed_v2": [(0,)],
    "nvmlDeviceGetTotalEccErrors": [(kind, counter) for kind in range(2) for counter in range(2)],
    "nvmlDeviceGetMemoryErrorCounter": [
        (kind, counter, place) for kind in range(2) for counter in range(2) for place in range(8)
    ],
    "nvmlDeviceGetPcieThroughput": [(counter,) for counter in range(2)],
    "nvmlDeviceGetRetiredPages": [(cause,) for cause in range(2)],
    "nvmlDeviceGetViolationStatus": [(policy,) for policy in range(8)],
    "nvmlDeviceGetAPIRestriction": [(api,) for api in range(2)],
    "nvmlDeviceGetEncoderCapacity": [(kind,) for kind in range(3)],
    "nvmlDeviceGetGpuInstanceProfileInfo": [(profile, *version) for profile in range(10) for version in ((), (1,))],
    "nvmlDeviceGetMigDeviceHandleByIndex": [],  # slices have records of their own
    "nvmlDeviceGetCpuAffinity": [(4,)],
    "nvmlDeviceGetMemoryAffinity": [(4, 0)],
    "nvmlDeviceGetNvLinkState": [(link,) for link in range(18)],
    "nvmlDeviceGetProcessUtilization": [(0,)],
    "nvmlDeviceGetProcessesUtilizationInfo": [(0,)],
    "nvmlDeviceGetAccountingStats": [(1,)],
    "nvmlDeviceGetClock": [(clock, kind) for clock in range(4) for kind in range(4)],
    "nvmlDeviceGetCpuAffinityWithinScope": [(4, scope) for scope in range(2)],
    "nvmlDeviceGetDetailedEccErrors": [(kind, counter) for kind in range(2) for counter in range(2)],
    "nvmlDeviceGetFanControlPolicy_v2": [(0,)],
    "nvmlDeviceGetTargetFanSpeed": [(0,)],
    "nvmlDeviceGetMinMaxClockOfPState": [(clock, state) for clock in range(4) for state in (0, 2, 8)],
    "nvmlDeviceGetGpuInstanceProfileInfoV": [(profile,) for profile in range(10)],
    "nvmlDeviceGetGpuInstanceProfileInfoByIdV": [(profile,) for profile in range(22)],
    "nvmlDeviceGetGpuInstanceRemainingCapacity": [(profile,) for profile in range(22)],
    "nvmlDeviceGetRunningProcessDetailList": [(0x1000018, mode) for mode in range(3)],  # nvmlProcessDetailList_v1
    "nvmlDeviceGetSamples": [(kind, 0) for kind in range(7)],
    "nvmlDeviceGetSupportedGraphicsClocks": [],  # for each memory clock: see read_unit
    "nvmlDeviceGetTopologyNearestGpus": [],  # what two GPUs are to each other is recorded for each pair
}
# Functions that fill a structure which they are given, and the version that it must say it has; 0: it says none.
STRUCTURES = {
    "nvmlDeviceGetGpuFabricInfo": ("c_nvmlGpuFabricInfo_t", 0),
    "nvmlDeviceGetGpuFabricInfoV": ("c_nvmlGpuFabricInfo_v3_t", 3),
    "nvmlDeviceGetPciInfoExt": ("nvmlPciInfoExt_v1_t", 1),
    "nvmlDeviceGetPlatformInfo": ("c_nvmlPlatformInfo_v2_t", 2),
    "nvmlDeviceGetSramEccErrorStatus": ("c_nvmlEccSramErrorStatus_v1_t", 1),
}
SYSTEM: dict[str, tuple[object, ...]] = {
    "nvmlSystemGetDriverVersion": (),
    "nvmlSystemGetNVMLVersion": (),
    "nvmlSystemGetCudaDriverVersion_v2": (),
    "nvmlSystemGetDriverBranch": (),
    "nvmlUnitGetCount": (),
    "nvmlGetExcludedDeviceCount": (),
    "nvmlDeviceGetCount": (),
}
NOT_RECORDED = {
    "nvmlSystemGetProcessName": "would name a path of whoever records",
    "nvmlInit": "as nvmlInitWithFlags, with which nvidia-ml-py begins",
    "nvmlEventSetCreate": "waits for what happens",
    "nvmlEventSetFree": "waits for what happens",
    "nvmlEventSetWait": "waits for what happens",
    "nvmlDeviceRegisterEvents": "waits for what happens",
    "nvmlDeviceClearFieldValues": "changes the machine",
    "nvmlDeviceValidateInforom": "reads the whole flash memory of the board",
    "nvmlGetBlacklistDeviceCount": "the former name of nvmlGetExcludedDeviceCount",
    "nvmlGetBlacklistDeviceInfoByIndex": "the former name of nvmlGetExcludedDeviceInfoByIndex",
    "nvmlGetExcludedDeviceInfoByIndex": "nvidia-ml-py has no function for it",
    "nvmlDeviceGetHandleByUUIDV": "nvidia-ml-py has no function for it",
}
FIELDS = range(1, 310)  # NVML_FI_...


def plain(value: object) -> Json:
    """A value of nvidia-ml-py as something that JSON has; handles, which mean nothing later, as "handle"."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, ctypes.Structure):
        return {field[0]: plain(getattr(value, field[0])) for field in value._fields_}
    if isinstance(value, ctypes.Union):
        return bytes(value).hex()
    if isinstance(value, (list, tuple, ctypes.Array)):
        return [plain(part) for part in value]
    return plain(value.value) if isinstance(value, ctypes._SimpleCData) else "handle"


def attempt(function: Callable[..., object], *arguments: object) -> Json:
    """What a function answers, or {"error": NVML's code}."""
    try:
        return plain(function(*arguments))
    except pynvml.NVMLError as error:
        return {"error": error.value}
    except (TypeError, ValueError, UnicodeError, AttributeError) as error:  # nvidia-ml-py's own
        return {"unreadable": type(error).__name__}


def readers() -> Iterator[tuple[str, Callable[..., object], list[tuple[object, ...]]]]:
    """Every function of nvidia-ml-py that reads from a device, with the arguments that it is called with."""
    for name, function in sorted(vars(pynvml).items()):
        if not name.startswith(("nvmlDeviceGet", "nvmlDeviceIs")) or not inspect.isfunction(function):
            continue
        if name.startswith(("nvmlDeviceGetHandleBy", "nvmlDeviceGetCount", "nvmlDeviceGetFieldValues")):
            continue
        required = [
            parameter
            for parameter in inspect.signature(function).parameters.values()
            if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ]
        if name in STRUCTURES:
            yield name, _filled(function, *STRUCTURES[name]), [()]
        elif name in ARGUMENTS:
            yield name, function, ARGUMENTS[name]
        elif len(required) == 1:
            yield name, function, [()]


def _filled(function: Callable[..., object], name: str, version: int) -> Callable[[object], object]:
    def call(handle: object) -> object:
        structure = getattr(pynvml, name)()
        if version:
            structure.version = ctypes.sizeof(structure) | version << 24
        function(handle, ctypes.byref(structure))
        return structure

    return call


def read_unit(handle: object) -> Json:
    """Every reading of a GPU or slice: "nvmlDeviceGetClockInfo(1)" -> 1593."""
    record = {
        f"{name}({', '.join(map(str, arguments))})": attempt(function, handle, *arguments)
        for name, function, calls in readers()
        for arguments in calls
    }
    memory_clocks = attempt(pynvml.nvmlDeviceGetSupportedMemoryClocks, handle)
    for clock in memory_clocks if isinstance(memory_clocks, list) else ():
        name = f"nvmlDeviceGetSupportedGraphicsClocks({clock})"
        record[name] = attempt(pynvml.nvmlDeviceGetSupportedGraphicsClocks, handle, clock)
    for field in FIELDS:
        record[f"field {field}"] = attempt(_field, handle, field)
    return record


def _field(handle: object, number: int) -> object:
    (value,) = pynvml.nvmlDeviceGetFieldValues(handle, [number])
    if value.nvmlReturn:
        raise pynvml.NVMLError(value.nvmlReturn)
    return [value.valueType, bytes(value.value).hex()]


def slices(handle: object) -> Iterator[object]:
    for index in range(attempt_number(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle)):
        try:
            yield pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except pynvml.NVMLError:
            return


def attempt_number(function: Callable[..., object], *arguments: object) -> int:
    answer = attempt(function, *arguments)
    return answer if isinstance(answer, int) else 0


def _array(function: Callable[..., object], kind: type[Any], *arguments: object) -> object:
    """What a function that takes an array and its length writes there."""
    count = ctypes.c_uint(32)
    array = (kind * count.value)()
    function(*arguments, array, ctypes.byref(count))
    return array[: count.value]


def read_instances(handle: object) -> Json:
    """The GPU instances of a GPU in MIG mode, and the compute instances of each: by "profile/number"."""
    record: Json = {}
    for profile in range(22):
        placements = pynvml.nvmlDeviceGetGpuInstancePossiblePlacements, pynvml.c_nvmlGpuInstancePlacement_t
        record[f"placements {profile}"] = attempt(_array, *placements, handle, profile)
        instances = pynvml.nvmlDeviceGetGpuInstances, pynvml.c_nvmlGpuInstance_t
        try:
            found = _array(*instances, handle, profile)
        except pynvml.NVMLError as error:
            record[f"instances {profile}"] = {"error": error.value}
            continue
        assert isinstance(found, list)
        record[f"instances {profile}"] = [_instance(handle, instance) for instance in found]
    return record


def _instance(handle: object, instance: Any) -> Json:
    info = attempt(pynvml.nvmlGpuInstanceGetInfo, instance)
    number = info.get("id", 0)
    record: Json = {"info": info, "by id": attempt(pynvml.nvmlDeviceGetGpuInstanceById, handle, number)}
    for profile in range(8):
        for version in (1, 2):
            ask = pynvml.nvmlGpuInstanceGetComputeInstanceProfileInfo
            record[f"profile {profile} v{version}"] = attempt(ask, instance, profile, 0, version)
        ask = pynvml.nvmlGpuInstanceGetComputeInstanceRemainingCapacity
        record[f"remaining {profile}"] = attempt(ask, instance, profile)
        compute_instances = pynvml.nvmlGpuInstanceGetComputeInstances, pynvml.c_nvmlComputeInstance_t
        try:
            found = _array(*compute_instances, instance, profile)
        except pynvml.NVMLError as error:
            record[f"compute instances {profile}"] = {"error": error.value}
            continue
        assert isinstance(found, list)
        record[f"compute instances {profile}"] = [attempt(pynvml.nvmlComputeInstanceGetInfo, one) for one in found]
    record["compute instance 0"] = attempt(pynvml.nvmlGpuInstanceGetComputeInstanceById, instance, 0)
    return record


def read_pairs(handles: list[object]) -> Json:
    """What each two GPUs are to each other: "0 1" -> ..."""
    record: Json = {}
    for first, one in enumerate(handles):
        for second, other in enumerate(handles):
            record[f"{first} {second}"] = {
                "common ancestor": attempt(pynvml.nvmlDeviceGetTopologyCommonAncestor, one, other),
                "same board": attempt(pynvml.nvmlDeviceOnSameBoard, one, other),
                "peers": [attempt(pynvml.nvmlDeviceGetP2PStatus, one, other, index) for index in range(6)],
            }
        record[f"{first} nearest"] = [
            _indices(pynvml.nvmlDeviceGetTopologyNearestGpus, one, level) for level in range(0, 60, 10)
        ]
    record["near CPU 0"] = _indices(pynvml.nvmlSystemGetTopologyGpuSet, 0)
    return record


def _indices(function: Callable[..., Any], *arguments: object) -> Json:
    try:
        found = function(*arguments)
    except pynvml.NVMLError as error:
        return {"error": error.value}
    return [attempt(pynvml.nvmlDeviceGetIndex, handle) for handle in found]


def read_lookups(handle: object) -> Json:
    """The index of the GPU that is found by what a GPU is called."""
    record: Json = {}
    for what, name, find in (
        ("UUID", pynvml.nvmlDeviceGetUUID, pynvml.nvmlDeviceGetHandleByUUID),
        ("serial", pynvml.nvmlDeviceGetSerial, pynvml.nvmlDeviceGetHandleBySerial),
        ("bus id", lambda gpu: pynvml.nvmlDeviceGetPciInfo(gpu).busId, pynvml.nvmlDeviceGetHandleByPciBusId),
    ):
        try:
            record[what] = pynvml.nvmlDeviceGetIndex(find(name(handle)))
        except pynvml.NVMLError as error:
            record[what] = {"error": error.value}
    return record


def read_nvml() -> Json:
    """Everything: {"system": ..., "errors": ..., "gpus": [{"gpu", "slices", "instances", "lookups"}], "pairs": ...}."""
    pynvml.nvmlInit()
    record: Json = {
        "system": {
            name: attempt(getattr(pynvml, name), *arguments)
            for name, arguments in SYSTEM.items()
            if hasattr(pynvml, name)  # an older nvidia-ml-py
        },
        "errors": {str(code): plain(pynvml.nvmlErrorString(code)) for code in (*range(32), 999)},
        "gpus": [],
    }
    handles = []
    for index in range(attempt_number(pynvml.nvmlDeviceGetCount)):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        except pynvml.NVMLError as error:
            record["gpus"].append({"error": error.value})
            continue
        handles.append(handle)
        gpu = {"gpu": read_unit(handle), "slices": [read_unit(slice_) for slice_ in slices(handle)]}
        record["gpus"].append({**gpu, "instances": read_instances(handle), "lookups": read_lookups(handle)})
    record["pairs"] = read_pairs(handles)
    pynvml.nvmlShutdown()
    return record
