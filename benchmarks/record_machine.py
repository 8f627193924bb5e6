"""Record what this machine's NVIDIA driver answers, to hold the simulated one against it.

    python benchmarks/record_machine.py RECORD.json INVENTORY.toml

RECORD.json gets the answer, or the error, of every reading function of NVML that nvidia-ml-py knows, for every GPU, MIG
slice, instance and pair of GPUs (nvml_readings.py), and every device attribute of the CUDA driver. INVENTORY.toml is an
inventory of the machine, for `gpu-visibility run --inventory INVENTORY.toml`. Nothing on the machine is changed: only
functions that read are called, and no context is opened. UUIDs, serial numbers and other numbers that no two machines
share are replaced by made-up ones unless --identify is given.

To see how far the simulated driver differs from the machine:

    gpu-visibility run --inventory INVENTORY.toml -- python benchmarks/record_machine.py SIMULATED.json AGAIN.toml
    python benchmarks/record_machine.py --compare RECORD.json SIMULATED.json

It needs pytest-gpuvisibility and what that installs. It has been run on simulated machines only, so far.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from nvml_readings import read_nvml

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.inventory import Device

Json = Any

ATTRIBUTES = range(1, 160)  # CU_DEVICE_ATTRIBUTE_...


def read_cuda() -> Json:
    """Every attribute of every device that the driver shows to this process, in CUDA's order."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return {"unreadable": str(error)}
    result = cuda.cuInit(0)
    if result:
        return {"error": result}
    count = ctypes.c_int()
    cuda.cuDeviceGetCount(ctypes.byref(count))
    return [_attributes(cuda, device) for device in range(count.value)]


def _attributes(cuda: ctypes.CDLL, device: int) -> Json:
    record: Json = {}
    for attribute in ATTRIBUTES:
        value = ctypes.c_int()
        result = cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        record[str(attribute)] = {"error": result} if result else value.value
    return record


# ---- the inventory ----


def complete(device: Device, gpu: Json, healthy: Device | None) -> Device:
    """The device with what NVML does not say of it.

    It does not count the multiprocessors of a GPU that is cut: those of its largest slice stand for them. Of a GPU that
    fails every call it says nothing: `healthy`, another GPU of the machine, stands for it.
    """
    if "error" in gpu and healthy:
        return replace(
            device,
            minor=device.index,
            pci_bus_id=device.pci_bus_id or f"00000000:{device.index:02X}:1F.0",
            name=healthy.name,
            memory=healthy.memory,
            compute_capability=healthy.compute_capability,
            multiprocessors=healthy.multiprocessors,
        )
    largest = gpu.get("gpu", {}).get("nvmlDeviceGetGpuInstanceProfileInfo(4)", {})
    return replace(device, multiprocessors=device.multiprocessors or largest.get("multiprocessorCount", 0) or 1)


def toml(inventory: Inventory, name: str, record: Json) -> Iterator[str]:
    """The lines of an inventory file."""
    yield f"name = {json.dumps(name)}"
    yield 'description = "Recorded by record_machine.py"'
    yield f"driver_version = {json.dumps(inventory.driver_version)}"
    yield f"cuda_version = {json.dumps(inventory.cuda_version)}"
    healthy = next((device for device in inventory.devices if not device.faults), None)
    for device, gpu in zip(inventory.devices, record["gpus"], strict=True):
        yield from _device_toml(complete(device, gpu, healthy))


def _device_toml(device: Device) -> Iterator[str]:
    major, minor = device.compute_capability
    yield "\n[[device]]"
    yield from _pairs(
        uuid=device.uuid,
        pci_bus_id=device.pci_bus_id,
        minor=device.minor,
        name=device.name,
        memory_mib=device.memory >> 20,
        compute_capability=f"{major}.{minor}",
        multiprocessors=device.multiprocessors,
        relative_speed=device.relative_speed,
        compute_mode=device.compute_mode,
        faults=sorted(device.faults),
        mig_enabled=device.mig_enabled,
    )
    for slice_ in device.mig:
        yield "\n[[device.mig]]"
        yield from _pairs(
            uuid=slice_.uuid,
            gpu_instance=slice_.gpu_instance,
            compute_instance=slice_.compute_instance,
            profile=slice_.profile,
            memory_mib=slice_.memory >> 20,
            multiprocessors=slice_.multiprocessors,
        )


def _pairs(**values: object) -> Iterator[str]:
    for key, value in values.items():
        yield f"{key} = {json.dumps(value)}"  # these are written alike in JSON and in TOML


def masks(inventory: Inventory, record: Json) -> dict[str, str]:
    """What stands for each UUID and serial number of the machine."""
    names: dict[str, str] = {}
    for number, device in enumerate(inventory.devices):
        names[device.uuid] = f"GPU-00000000-0000-0000-0000-{number:012}"
        for position, slice_ in enumerate(device.mig):
            names[slice_.uuid] = f"MIG-00000000-0000-0000-{number:04}-{position:012}"
    for gpu in record["gpus"]:
        serial = gpu.get("gpu", {}).get("nvmlDeviceGetSerial()")
        if isinstance(serial, str):
            names[serial] = "0" * len(serial)
    return names


IDENTIFYING = ("ibGuid", "rackGuid", "chassisSerialNumber", "clusterUuid", "nvmlDeviceGetPdi")
"""Members of structures, and a function, that tell one machine from all others."""


def anonymous(value: Json, identifying: bool = False) -> Json:
    """A record in which zeros stand for what is IDENTIFYING; :func:`masks` has the texts."""
    if isinstance(value, dict):
        return {
            key: anonymous(part, key != "error" and (identifying or key.startswith(IDENTIFYING)))
            for key, part in value.items()
        }
    if isinstance(value, list):
        return [anonymous(part, identifying) for part in value]
    return type(value)() if identifying and value is not None else value


# ---- comparing ----

# What no two moments have in common.
MOVING = re.compile(r"referenceTime|TotalEnergyConsumption|field (83|191)/|Samples|Utilization|IrqNum|GetPdi")


def differences(first: Json, second: Json, place: str = "") -> Iterator[str]:
    """The places in which two records differ, one line each."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted(first.keys() | second.keys()):
            yield from differences(first.get(key), second.get(key), f"{place}/{key}")
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for position, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from differences(one, other, f"{place}/{position}")
    elif first != second and not MOVING.search(place):
        yield f"{place}: {json.dumps(first)} | {json.dumps(second)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path, help="file to write, or the first to compare")
    parser.add_argument("inventory", type=Path, help="file to write, or the second to compare")
    parser.add_argument("--identify", action="store_true", help="keep UUIDs and serial numbers")
    parser.add_argument("--compare", action="store_true", help="print where two records differ")
    options = parser.parse_args()
    if options.compare:
        found = list(differences(*(json.loads(path.read_text()) for path in (options.record, options.inventory))))
        print("\n".join(found) or "no difference")
        return 1 if found else 0
    record, inventory = {**read_nvml(), "cuda": read_cuda()}, Inventory.from_nvml()
    if not options.identify:
        record = anonymous(record)
    texts = [
        json.dumps(record, indent=1, sort_keys=True) + "\n",
        "\n".join(toml(inventory, options.inventory.stem, record)) + "\n",
    ]
    if not options.identify:
        for name, mask in masks(inventory, record).items():
            texts = [text.replace(name, mask) for text in texts]
    for path, text in zip((options.record, options.inventory), texts, strict=True):
        path.write_text(text)
        print(f"{path}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
