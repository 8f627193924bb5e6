"""What CUDA itself enumerates on this machine, before any mask: its order is published nowhere else."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass

from ..environment import MASKS, PROBE_VARIABLE
from . import driver_client

_DEADLINE = 60  # seconds; the first cuInit after a boot loads firmware


@dataclass(frozen=True, slots=True)
class CudaDevice:
    """A GPU as CUDA describes it. ``memory`` is in bytes."""

    uuid: str
    pci_bus_id: str
    name: str
    memory: int
    compute_capability: tuple[int, int]
    multiprocessors: int


def enumerated() -> tuple[CudaDevice, ...] | None:
    """The GPUs in CUDA's default order, whatever this process's own mask; None where CUDA does not answer."""
    environ = {name: value for name, value in os.environ.items() if name not in MASKS}
    # On a simulated machine: a question about the machine is no use of it, and stays out of the ledger.
    environ[PROBE_VARIABLE] = "1"
    try:
        asked = subprocess.run(
            driver_client.command("list"),
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DEADLINE,
            check=True,
        )
        return tuple(_device(*entry) for entry in json.loads(asked.stdout))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _device(uuid: str, bus_id: str, name: str, memory: int, major: int, minor: int, processors: int) -> CudaDevice:
    dashed = "-".join((uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:]))
    # CUDA writes a PCI domain with four digits or eight, NVML with eight.
    domain, _, rest = bus_id.upper().partition(":")
    return CudaDevice(f"GPU-{dashed}", f"{domain:>08}:{rest}", name, memory, (major, minor), processors)
