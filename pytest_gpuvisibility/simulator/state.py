"""The state of a simulated machine, through libgpuvisibility.so; no other module knows its C functions."""

from __future__ import annotations

import ctypes
import errno
import functools
import json
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..inventory import Device, Inventory, MigDevice
from ..policies import KERNEL_LAUNCH_POLICIES
from .native import library_directory

COMPUTE_MODES = {"default": 0, "prohibited": 2, "exclusive-process": 3}
FAULTS = {"nvml-unknown": 1, "nvml-no-permission": 2, "lost": 4}
MACHINE_FAULTS = {"driver-not-loaded": 1, "nvml-missing": 2, "nvml-no-permission": 4}

# GV_MAX_DEVICES and GV_MAX_UNITS of native/core/state.h; gv_resolve writes _MAX_UNITS entries for one mask.
_MAX_DEVICES = 64
_MAX_UNITS = 128


class MachineError(UserError):
    """A simulated machine cannot be made or read."""


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(library_directory() / "libgpuvisibility.so"))
    library.gv_create.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    library.gv_snapshot.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
    library.gv_snapshot.restype = ctypes.c_long
    library.gv_lost_records.argtypes = [ctypes.c_char_p]
    library.gv_lost_records.restype = ctypes.c_long
    count = ctypes.POINTER(ctypes.c_uint64)
    library.gv_launches.argtypes = [ctypes.c_char_p, count, count]
    library.gv_set_launch_policy.argtypes = [ctypes.c_char_p, ctypes.c_int]
    library.gv_set_compute_mode.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    library.gv_set_faults.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_uint]
    library.gv_resolve.argtypes = [
        ctypes.c_char_p,
        ctypes.POINTER(ctypes.c_char_p),
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.POINTER(ctypes.c_int),
        ctypes.POINTER(ctypes.c_int),
    ]
    return library


def create(directory: Path, inventory: Inventory, kernel_launches: str = "error", questions: bool = False) -> None:
    """Writes the state of a new machine into an existing directory.

    kernel_launches, questions: as Machine.create() has them.
    :raises MachineError: a machine cannot hold the inventory.
    """
    policy = _policy(kernel_launches)
    lines = [*_describe_machine(inventory, policy), _line("questions", int(questions))]
    for device in inventory.devices:
        lines += _describe_device(device)
    for device in inventory.devices:
        for slice_ in device.mig:
            lines += _describe_slice(device, slice_)
    error = _library().gv_create(os.fsencode(directory), "\n".join(lines).encode())
    if error:
        raise MachineError(
            f"Inventory {inventory.name!r} cannot be made a simulated machine in {directory}:"
            f" {_why_not_made(inventory, -error)}."
        )


def _policy(name: str) -> int:
    if name not in KERNEL_LAUNCH_POLICIES:
        raise MachineError(f"kernel_launches={name!r} is not known; it is one of {', '.join(KERNEL_LAUNCH_POLICIES)}.")
    return KERNEL_LAUNCH_POLICIES.index(name)


def _why_not_made(inventory: Inventory, error: int) -> str:
    if error == errno.E2BIG:
        slices = sum(len(device.mig) for device in inventory.devices)
        return (
            f"it has {len(inventory.devices)} GPUs and {slices} MIG slices, and a machine holds at most"
            f" {_MAX_DEVICES} GPUs, and {_MAX_UNITS} GPUs and slices together"
        )
    if error == errno.EINVAL:
        return (
            "something in it is longer or larger than a machine can hold, which has room for UUIDs and names of up to"
            " 95 bytes, a driver version of 31, PCI bus ids of 19, and profiles of slices of 23"
        )
    if error in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return f"{os.strerror(error)}; its state takes 48 kB, so free some space or choose another directory (TMPDIR)"
    return os.strerror(error)


def _line(key: str, value: object) -> str:
    text = str(value)
    if "\n" in text or "\0" in text:
        raise MachineError(f"{key} = {text!r} of the inventory contains a line break or a NUL byte.")
    return f"{key}={text}"


def _cuda_version(text: str) -> int:
    """13000 for "13.0", as cuDriverGetVersion has it."""
    major, _, minor = text.partition(".")
    if not (major.isdecimal() and (minor or "0").isdecimal()):
        raise MachineError(f"cuda_version = {text!r} of the inventory is not of the form 13.0.")
    return 1000 * int(major) + 10 * int(minor or 0)


def _describe_machine(inventory: Inventory, policy: int) -> list[str]:
    return [
        _line("inventory", inventory.name),
        _line("driver_version", inventory.driver_version),
        _line("cuda_version", _cuda_version(inventory.cuda_version)),
        _line("launch_policy", policy),
        _line("faults", _fault_bits(inventory.faults, MACHINE_FAULTS)),
    ]


def _describe_device(device: Device) -> list[str]:
    major, minor = device.compute_capability
    return [
        "device=",
        _line("uuid", device.uuid),
        _line("name", device.name),
        _line("memory", device.memory),
        _line("multiprocessors", device.multiprocessors),
        _line("pci_bus_id", device.pci_bus_id),
        _line("minor", device.minor),
        _line("compute_capability", f"{major}.{minor}"),
        _line("relative_speed", struct.pack(">d", device.relative_speed).hex()),
        _line("compute_mode", COMPUTE_MODES[device.compute_mode]),
        _line("faults", _fault_bits(device.faults, FAULTS)),
        _line("mig_enabled", int(device.mig_enabled)),
    ]


def _describe_slice(device: Device, slice_: MigDevice) -> list[str]:
    return [
        "mig=",
        _line("uuid", slice_.uuid),
        _line("name", slice_.name),
        _line("profile", slice_.profile),
        _line("memory", slice_.memory),
        _line("multiprocessors", slice_.multiprocessors),
        _line("parent", device.index),
        _line("gpu_instance", slice_.gpu_instance),
        _line("compute_instance", slice_.compute_instance),
    ]


def _fault_bits(faults: Iterable[str], known: Mapping[str, int]) -> int:
    bits = 0
    for fault in faults:
        if fault not in known:
            raise MachineError(f"The fault {fault!r} is not known; faults are {', '.join(known)}.")
        bits |= known[fault]
    return bits


def _check(directory: Path, result: int) -> int:
    if result < 0:
        raise MachineError(_why_not_used(directory, -result))
    return result


def _why_not_used(directory: Path, error: int) -> str:
    file, remedy = directory / "state", "Make the machine anew."
    if error == errno.EPROTO:
        return (
            f"{file} is not the state of a simulated machine as this version of pytest-gpuvisibility writes it: it was"
            f" made by another version, cut short, or overwritten. {remedy}"
        )
    if error == errno.EBADMSG:
        return f"{file} is damaged: what it says does not match its checksum, or is out of bounds. {remedy}"
    return f"There is no simulated machine to use in {directory}: {os.strerror(error)}."


def snapshot(directory: Path) -> dict[str, Any]:
    """The machine as it is: {"inventory", "driver_version", "cuda_version", "launch", "faults", "devices": [...],
    "processes": [...]}.

    A device has "index", "uuid", "name", "pci_bus_id", "minor", "memory" and "used" (bytes, contexts'
    overhead and all slices included), "compute_mode", "faults", "compute_capability", "multiprocessors",
    "mig_enabled", and "mig": a list of slices with their own "memory" and "used". A process is listed once
    for each unit (GPU or slice) that it holds anything
    of: "pid", "start" (ticks after boot), "unit_uuid", "contexts", "bytes" (what it allocated). Only living
    processes are.

    :raises MachineError: there is no machine.
    """
    path, size = os.fsencode(directory), 64 * 1024
    while True:
        buffer = ctypes.create_string_buffer(size)
        length = _check(directory, _library().gv_snapshot(path, buffer, size))
        if length <= size:
            result: dict[str, Any] = json.loads(buffer.raw[:length])
            return result
        # Processes may still come while the larger buffer is filled.
        size = 2 * length


def lost_records(directory: Path) -> int:
    """How many records the machine's ledger lacks, because a full disk or a limit kept programs from writing them."""
    return _check(directory, _library().gv_lost_records(os.fsencode(directory)))


def kernel_launches(directory: Path) -> tuple[int, int]:
    """How many kernel launches on the machine did nothing although they succeeded, and how many failed; all processes
    together.
    """
    skipped, refused = ctypes.c_uint64(), ctypes.c_uint64()
    _check(directory, _library().gv_launches(os.fsencode(directory), ctypes.byref(skipped), ctypes.byref(refused)))
    return skipped.value, refused.value


def set_kernel_launch_policy(directory: Path, policy: str) -> None:
    """From now on, lets kernel launches fail ("error") or do nothing, successfully ("noop")."""
    _check(directory, _library().gv_set_launch_policy(os.fsencode(directory), _policy(policy)))


def set_compute_mode(directory: Path, index: int, mode: str) -> None:
    """Makes GPU `index` "default", "exclusive-process" or "prohibited"; contexts that exist stay."""
    if mode not in COMPUTE_MODES:
        raise MachineError(f"The compute mode {mode!r} is not known; it is one of {', '.join(COMPUTE_MODES)}.")
    _check(directory, _library().gv_set_compute_mode(os.fsencode(directory), index, COMPUTE_MODES[mode]))


def set_faults(directory: Path, index: int, faults: Iterable[str]) -> None:
    """Replaces a GPU's injected faults, for NVML at once and for CUDA in processes that initialise it from
    now on.
    """
    _check(directory, _library().gv_set_faults(os.fsencode(directory), index, _fault_bits(faults, FAULTS)))


def resolve(directory: Path, masks: Sequence[str | None], order: str | None = None) -> list[tuple[int, ...]]:
    """For each value of CUDA_VISIBLE_DEVICES (None: not set), the units that the simulated CUDA shows, in its
    order.

    Units count the GPUs in index order, then the MIG slices grouped by GPU. order: the value of
    CUDA_DEVICE_ORDER.
    """
    encoded = [None if mask is None else os.fsencode(mask) for mask in masks]
    count = len(encoded)
    counts, units = (ctypes.c_int * count)(), (ctypes.c_int * (count * _MAX_UNITS))()
    order_bytes = None if order is None else os.fsencode(order)
    mask_array = (ctypes.c_char_p * count)(*encoded)
    _check(
        directory,
        _library().gv_resolve(os.fsencode(directory), mask_array, count, order_bytes, counts, units),
    )
    return [tuple(units[i * _MAX_UNITS : i * _MAX_UNITS + counts[i]]) for i in range(count)]
