"""topo -m and nvlink -s: how GPUs are connected."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Sequence

from .nvml import Gpu
from .wording import NOT_AVAILABLE, or_not_available

LEGEND = """
Legend:

  X    = Self
  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes (e.g., QPI/UPI)
  NODE = Connection traversing PCIe as well as the interconnect between PCIe Host Bridges within a NUMA node
  PHB  = Connection traversing PCIe as well as a PCIe Host Bridge (typically the CPU)
  PXB  = Connection traversing multiple PCIe bridges (without traversing the PCIe Host Bridge)
  PIX  = Connection traversing at most a single PCIe bridge
  NV#  = Connection traversing a bonded set of # NVLinks"""

LEVELS = {0: " X ", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}


def _ranges(gpu: Gpu) -> str:
    """The processors near the GPU: "0-19,40-59"."""
    words = (ctypes.c_ulong * 64)()
    gpu.nvml.call("nvmlDeviceGetCpuAffinity", gpu.handle, len(words), words)
    size = 8 * ctypes.sizeof(ctypes.c_ulong)
    near = [bit for bit in range(size * len(words)) if words[bit // size] >> bit % size & 1]
    runs: list[list[int]] = []
    for bit in near:
        if runs and runs[-1][1] == bit - 1:
            runs[-1][1] = bit
        else:
            runs.append([bit, bit])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def topology(gpus: Sequence[Gpu]) -> Iterator[str]:
    columns = [f"GPU{gpu.index()}" for gpu in gpus]
    yield "\t\x1b[4m" + "\t".join([*columns, "CPU Affinity", "NUMA Affinity", "GPU NUMA ID"]) + "\x1b[0m"
    for column, gpu in zip(columns, gpus, strict=True):
        levels = [LEVELS[gpu.uint("nvmlDeviceGetTopologyCommonAncestor", other.handle)] for other in gpus]
        yield "\t".join([column, *levels, _ranges(gpu), "0", "", NOT_AVAILABLE])
    yield LEGEND


def nvlinks(gpus: Iterable[Gpu]) -> Iterator[str]:
    for gpu in gpus:
        yield f"GPU {gpu.index()}: {gpu.name()} (UUID: {gpu.uuid()})"
        if or_not_available(gpu.mig_mode) == "Enabled":
            yield "Nvlink queries are not supported for Devices in MIG mode"
        else:
            yield "Device does not have or support Nvlink"
