"""``gpu-visibility doctor``: what this machine has, and what works on it."""

from __future__ import annotations

import os
import platform
import shutil

from .errors import UserError
from .inventory import Inventory
from .selection import MASK, real_gpus_answer
from .simulator.machine import Machine
from .simulator.native import library_directory


def report() -> tuple[list[str], bool]:
    """Lines for a person, and whether a simulated machine works here."""
    lines = [
        f"Platform           {platform.system()} {platform.machine()}, Python {platform.python_version()}",
        f"Real GPUs          {_real()}",
        f"nvidia-smi         {shutil.which('nvidia-smi') or 'not on PATH'}",
        f"CUDA_VISIBLE_DEVICES {repr(os.environ[MASK]) if MASK in os.environ else 'unset'}",
    ]
    try:
        return [*lines, *_simulated()], True
    except UserError as error:
        return [*lines, f"Simulated driver   does not work here: {error}"], False


def _real() -> str:
    if not real_gpus_answer():
        return "none (no NVIDIA driver answers)"
    try:
        return ", ".join(f"{device.name} {device.uuid}" for device in Inventory.from_nvml().devices)
    except UserError as error:
        return str(error)


def _simulated() -> list[str]:
    inventory = Inventory.load("a100x2")
    with Machine.create(inventory) as machine:
        shown = machine.probe(machine.environ({"PATH": os.defpath})).devices
    return [
        f"Simulated driver   works: {len(shown)} of {len(inventory.devices)} devices of {inventory.name} answer cuInit",
        f"                   libraries in {library_directory()}",
        "It stands in for   libnvidia-ml.so.1, libcuda.so.1 and nvidia-smi, in programs started on a simulated machine",
        "It cannot          run kernels, or programs that link the CUDA runtime statically (nvcc's default, cupy)",
    ]
