"""What CUDA itself enumerates on this machine, before any mask: its order is published nowhere else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

from ..environment import MASKS, PROBE_VARIABLE

_DEADLINE = 60  # seconds; the first cuInit after a boot loads firmware

# Asked in a child: the first cuInit of a process settles what it sees for good.
_QUESTION = """
import ctypes, json, sys
cuda = ctypes.CDLL("libcuda.so.1")

def ask(name, *arguments):
    if getattr(cuda, name)(*arguments):
        sys.exit(1)

ask("cuInit", 0)
count, device = ctypes.c_int(), ctypes.c_int()
ask("cuDeviceGetCount", ctypes.byref(count))
found = []
for ordinal in range(count.value):
    ask("cuDeviceGet", ctypes.byref(device), ordinal)
    uuid, name, bus = (ctypes.create_string_buffer(size) for size in (16, 256, 32))
    memory, numbers = ctypes.c_size_t(), [ctypes.c_int() for _ in range(3)]
    ask("cuDeviceGetUuid", uuid, device)
    ask("cuDeviceGetName", name, 256, device)
    ask("cuDeviceGetPCIBusId", bus, 32, device)
    ask("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    for number, attribute in zip(numbers, (75, 76, 16)):  # compute capability, major and minor; multiprocessors
        ask("cuDeviceGetAttribute", ctypes.byref(number), attribute, device)
    texts = uuid.raw.hex(), bus.value.decode(), name.value.decode()
    found.append([*texts, memory.value, *(number.value for number in numbers)])
print(json.dumps(found))
"""


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
            [sys.executable, "-I", "-S", "-c", _QUESTION],
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
