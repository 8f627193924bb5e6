"""What CUDA, real or simulated, shows to a process: asked by a small program, which opens no context."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..environment import PROBE_VARIABLE
from .native import probe_program


class ProbeFailed(RuntimeError):
    """The probe program did not answer; a failure of the harness, not of what it was to look at."""


@dataclass(frozen=True, slots=True)
class ProbedDevice:
    """A device that CUDA shows: its ordinal there, UUID ("GPU-..." or "MIG-..."), name, and bus id
    ("00000000:07:00.0").
    """

    ordinal: int
    uuid: str
    name: str
    pci_bus_id: str


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What CUDA answered: result is cuInit's CUresult, or -1 where no libcuda.so.1 could be loaded."""

    result: int
    devices: tuple[ProbedDevice, ...]


def probe(environ: Mapping[str, str], *, timeout: float = 60.0) -> ProbeResult:
    """What CUDA, real or simulated, shows to a process with exactly this environment; it opens no context.

    :raises NativeLibraryMissing: the probe program is not installed.
    :raises ProbeFailed: it does not answer within `timeout` seconds.
    """
    command = [str(probe_program())]
    try:
        run = subprocess.run(
            command, env={**environ, PROBE_VARIABLE: "1"}, capture_output=True, timeout=timeout, check=True
        )
        answer = json.loads(run.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise ProbeFailed(f"{command[0]} did not say what CUDA shows: {error}") from error
    return ProbeResult(
        answer["result"], tuple(_as_inventory_has_it(ProbedDevice(**device)) for device in answer["devices"])
    )


def _as_inventory_has_it(device: ProbedDevice) -> ProbedDevice:
    """CUDA writes a bus id with four digits of the domain, NVML and inventories with eight."""
    domain, _, rest = device.pci_bus_id.partition(":")
    return replace(device, pci_bus_id=f"{domain:0>8}:{rest}".upper())
