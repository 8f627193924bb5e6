"""Widespread clients of NVIDIA's libraries, unmodified, and what each must see on a simulated machine under a mask."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_gpuvisibility import Inventory, resolve
from pytest_gpuvisibility.inventory import AnyDevice, MigDevice
from pytest_gpuvisibility.simulator import Machine

HERE = Path(__file__).resolve().parent
INVENTORIES = ("a100x4", "mixed4", "mig")
CC = os.environ.get("CC", "cc")

UUID, BUS, NAME, MEMORY = "uuid", "pci_bus_id", "name", "memory"

Answer = dict[str, Any]
Expected = Callable[[Inventory, "str | None"], Answer]


@dataclass(frozen=True)
class Mask:
    """A value of CUDA_VISIBLE_DEVICES; None where the variable is not set."""

    id: str
    value: Callable[[Inventory], str | None]


MASKS = (
    Mask("unset", lambda inventory: None),
    Mask("1,0", lambda inventory: "1,0"),
    Mask("empty", lambda inventory: ""),
    Mask("0,-1,1", lambda inventory: "0,-1,1"),
    Mask("3,3", lambda inventory: "3,3"),
    # Of the last thing that can be named: on a machine with MIG it is a slice.
    Mask("UUID", lambda inventory: inventory.units[-1].uuid),
    # Two, last first, but only whole GPUs can be abbreviated.
    Mask("UUID prefix", lambda inventory: ",".join(inventory.unique_prefix(gpu) for gpu in _whole(inventory)[::-2])),
)


@dataclass(frozen=True)
class Client:
    """A program, and what it must print on an inventory under a mask.

    sees: "every GPU" or "visible", or both: which layer it asks. heavy: it is in the dependency group ``clients``, and
    needs too much room for each run of the tests. distribution: where its version is asked for; none for a program
    that is compiled here, by `tool`.
    """

    name: str
    expected: Expected
    sees: str
    distribution: str = ""
    heavy: bool = False
    source: str = ""
    tool: str = ""
    note: str = ""


def _whole(inventory: Inventory) -> list[AnyDevice]:
    return [device for device in inventory.devices if not device.mig_enabled]


def _described(device: AnyDevice, fields: Sequence[str], inventory: Inventory) -> Answer:
    slot = inventory.by_uuid(device.parent_uuid) if isinstance(device, MigDevice) else device
    facts = {UUID: device.uuid, NAME: device.name, MEMORY: device.memory, BUS: getattr(slot, BUS)}
    return {field: facts[field] for field in fields}


def every_gpu(*fields: str) -> Expected:
    """A client of NVML describes every GPU, whatever the mask."""
    return lambda inventory, mask: {"nvml": [_described(gpu, fields, inventory) for gpu in inventory.devices]}


def visible(*fields: str, **also: object) -> Expected:
    """A client of CUDA describes what the resolver says, in that order."""

    def expected(inventory: Inventory, mask: str | None) -> Answer:
        shown = resolve(mask, inventory).devices
        return {"cuda": [{**_described(device, fields, inventory), **also} for device in shown]}

    return expected


def both(*fields: str) -> Expected:
    return lambda inventory, mask: every_gpu(*fields)(inventory, mask) | visible(*fields)(inventory, mask)


def nvitop(inventory: Inventory, mask: str | None) -> Answer:
    """nvitop takes at most one MIG slice for visible, as drivers before R570 had it, and then no whole GPU."""
    shown = resolve(mask, inventory).devices
    slices = [device for device in shown if isinstance(device, MigDevice)]
    return every_gpu(UUID, BUS, NAME, MEMORY)(inventory, mask) | {
        "cuda": [_described(device, (UUID, NAME, MEMORY), inventory) for device in slices[:1] or shown],
        "selected": [device.uuid for device in _whole(inventory)],
        "inherited": [device.uuid for device in slices[:1] or shown] or [""],
    }


def ray(inventory: Inventory, mask: str | None) -> Answer:
    """Ray counts every GPU, and splits the mask at its commas without asking what CUDA makes of it."""
    kind = {"a100x4": "A100", "mig": "A100", "mixed4": "GeForce-RTX-4090"}[inventory.name]
    visible = None if mask is None else mask.split(",") if mask else []
    return {"count": len(inventory.devices), "type": kind, "visible": visible}


def dask_cuda(inventory: Inventory, mask: str | None) -> Answer:
    """dask-cuda counts every GPU, or else the tokens of the mask: one even of an empty mask."""
    return {
        "count": len(inventory.devices),
        "memory": [gpu.memory for gpu in inventory.devices],
        "mig": [slice_.uuid for gpu in inventory.devices for slice_ in gpu.mig],
        "workers": len(inventory.devices) if mask is None else len(mask.split(",")),
    }


def torch(inventory: Inventory, mask: str | None) -> Answer:
    """PyTorch reads the mask itself for this count, and knows no MIG: -1 says that CUDA has to be asked."""
    uncut = replace(inventory, devices=tuple(replace(gpu, mig=(), mig_enabled=False) for gpu in inventory.devices))
    counted = -1 if (mask or "").startswith("MIG-") else len(resolve(mask, uncut).devices)
    return {"all": len(inventory.devices), "visible": counted}


def faiss(inventory: Inventory, mask: str | None) -> Answer:
    return {"count": len(resolve(mask, inventory).devices)}


CLIENTS = (
    Client("nvidia-smi", every_gpu(UUID, BUS, NAME, MEMORY), "every GPU", source="with_nvidia_smi.py"),
    Client("nvidia-ml-py", every_gpu(UUID, BUS, NAME, MEMORY), "every GPU", "nvidia-ml-py"),
    Client("gpustat", every_gpu(UUID, NAME, MEMORY), "every GPU", "gpustat"),
    Client(
        "nvitop",
        nvitop,
        "both",
        "nvitop",
        note="`nvisel --inherit` and `CudaDevice` take at most one MIG slice, as drivers before R570 do",
    ),
    Client("cuda-bindings", visible(UUID, BUS, NAME, MEMORY), "visible", "cuda-bindings", note="the module `driver`"),
    *(
        Client(
            f"libcudart.so.{release}",
            visible(UUID, BUS, NAME, MEMORY),
            "visible",
            distribution,
            note="the CUDA runtime; asked for by the full path of NVIDIA's file, answered by ours",
        )
        for release, distribution in ((13, "nvidia-cuda-runtime"), (12, "nvidia-cuda-runtime-cu12"))
    ),
    Client("C program", both(UUID, BUS, NAME, MEMORY), "both", source="in_c.c", tool=CC, note="dlopen of both"),
    Client(
        "Rust program", both(UUID, BUS, NAME, MEMORY), "both", source="in_rust.rs", tool="rustc", note="dlopen of both"
    ),
    Client("Go program", both(UUID, BUS, NAME, MEMORY), "both", source="in_go.go", tool="go", note="dlopen by cgo"),
    Client(
        "numba-cuda",
        visible(UUID, NAME, MEMORY, copied=True),
        "visible",
        "numba-cuda",
        heavy=True,
        note="lists devices and copies arrays; its kernels do not run",
    ),
    Client(
        "cuda.core",
        visible(UUID, NAME),
        "visible",
        "cuda-core",
        heavy=True,
        note="lists devices, makes contexts and streams; `Device.pci_bus_id` asks the CUDA runtime, and is refused",
    ),
    Client(
        "Ray",
        ray,
        "every GPU",
        "ray",
        heavy=True,
        note="what a node finds at its start; the mask is split at its commas",
    ),
    Client(
        "dask-cuda",
        dask_cuda,
        "every GPU",
        "dask-cuda",
        heavy=True,
        note="what it finds before its workers start; it starts one even under an empty mask",
    ),
    Client(
        "faiss",
        faiss,
        "visible",
        "faiss-gpu-cu12",
        heavy=True,
        note="a build for CUDA 12; where launches are skipped, it makes indices and puts vectors on their device",
    ),
    Client(
        "torch",
        torch,
        "both",
        "torch",
        heavy=True,
        note="the count through NVML, in which it reads the mask itself and knows no MIG",
    ),
)


@dataclass(frozen=True)
class Refused:
    """A program that cannot work: it asks the driver for what is private to NVIDIA, and must be told so by an error.

    script: prints the error that it got, and nothing else. contains: what it has in it that asks.
    """

    name: str
    distribution: str
    script: str
    contains: str = "the CUDA runtime, statically"
    heavy: bool = False


REFUSED = (
    Refused(
        "cuda.bindings.runtime",
        "cuda-bindings",
        "from cuda.bindings import runtime; print(runtime.cudaGetDeviceCount()[0].name)",
    ),
    Refused(
        "cupy",
        "cupy-cuda13x",
        """
import cupy
try:
    cupy.cuda.runtime.getDeviceCount()
except Exception as error:
    print(str(error).split(":")[0])
""",
        heavy=True,
    ),
)


@functools.cache
def command(client: Client, room: Path) -> list[str]:
    """How the client is started. A C, Rust or Go program is compiled into `room`."""
    source = HERE / (client.source or f"with_{re.sub('[-.]', '_', client.name.lower())}.py")
    program = str(room / source.stem)
    if source.suffix == ".py":
        return [sys.executable, str(source)]
    compile = {
        ".c": [CC, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o", program, str(source), "-ldl"],
        ".rs": ["rustc", "--edition", "2021", "-D", "warnings", "-o", program, str(source)],
        ".go": ["go", "build", "-o", program, str(source)],
    }[source.suffix]
    environ = {"GOCACHE": str(room / "go-cache"), **os.environ}  # it needs one, also where there is no HOME
    subprocess.run(compile, check=True, capture_output=True, text=True, env=environ)
    return [program]


def run(client: Client, machine: Machine, mask: str | None, room: Path) -> subprocess.CompletedProcess[str]:
    """Runs the client in a process of its own on the machine, under the mask."""
    environ = machine.environ(clean(os.environ))
    if mask is not None:
        environ["CUDA_VISIBLE_DEVICES"] = mask
    return subprocess.run(
        command(client, room), env=environ, cwd=room, capture_output=True, text=True, timeout=120, check=False
    )


def run_refused(refused: Refused, room: Path) -> subprocess.CompletedProcess[str]:
    """Runs it by `gpu-visibility run` on a machine of two GPUs."""
    start = [sys.executable, "-m", "pytest_gpuvisibility", "run", "--inventory", "a100x2", "--"]
    return subprocess.run(
        [*start, sys.executable, "-c", refused.script],
        env=clean(os.environ),
        cwd=room,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without anything that decides what a client sees."""
    ours = ("CUDA_", "NVIDIA_", "GPU_VISIBILITY_", "PYTEST_", "NUMBA_", "RAY_")
    return {name: value for name, value in environ.items() if not name.startswith(ours)}


def answer(output: str) -> Answer:
    """What a client printed, with names of devices spelled alike."""
    printed: Answer = json.loads(output)
    return spelled_alike(printed)


def spelled_alike(said: Answer) -> Answer:
    """CUDA gives a UUID's bytes alone, and a bus id with four digits of the domain."""
    return {
        key: [_spelled(device) for device in value] if key in ("nvml", "cuda") else value for key, value in said.items()
    }


def _spelled(device: Answer) -> Answer:
    spelled = dict(device)
    spelled[UUID] = device[UUID].lower().removeprefix("gpu-").removeprefix("mig-").replace("-", "")
    if BUS in device:
        domain, _, rest = device[BUS].partition(":")
        spelled[BUS] = f"{domain:0>8}:{rest}".upper()
    return spelled


def version_command(tool: str) -> list[str]:
    return [tool, "version" if tool == "go" else "--version"]


@functools.cache
def _works(tool: str) -> bool:
    """A rustc that rustup manages may be there without any toolchain behind it."""
    return subprocess.run(version_command(tool), capture_output=True, check=False).returncode == 0


def compilers_missing(client: Client) -> bool:
    return bool(client.tool) and (shutil.which(client.tool) is None or not _works(client.tool))
