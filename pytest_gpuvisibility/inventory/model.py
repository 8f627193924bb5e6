"""The physical GPUs of one machine: what there is, before anybody hides any of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from ..errors import UserError
from . import catalogue, nvml, toml_file
from .devices import AnyDevice, Device, MigDevice

MAX_DEVICES = 64
"""GPUs in an inventory, and things one process can see: as many as the simulated driver has room for."""

_SHORTEST_PREFIX = len("GPU-") + 4


@dataclass(frozen=True)
class Inventory:
    """The GPUs of one machine, in PCI order, and its driver.

    ``origin`` says where it came from: ``"shipped"``, the path of a file, ``"nvml"``, or what the caller
    wrote. ``faults`` are the driver's, of ``MACHINE_FAULTS``; each GPU has its own.

    :raises UserError: two devices share a UUID or a PCI bus id, indices or PCI order have gaps, or there are
        too many.
    """

    name: str
    devices: tuple[Device, ...]
    driver_version: str = "580.95.05"
    cuda_version: str = "13.0"
    origin: str = "built in Python"
    description: str = ""
    faults: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        _check_counts(self)
        _check_unique(self, "UUID", ((unit.uuid, _place(unit)) for unit in self.units))
        _check_unique(self, "PCI bus id", ((bus_id.lower(), place) for bus_id, place in _bus_ids(self)))
        _check_unique(self, "minor number", ((str(device.minor), _place(device)) for device in self.devices))
        _check_order(self)

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def load(cls, name_or_path: str | os.PathLike[str]) -> Inventory:
        """The shipped inventory of that name, or the one described by a TOML file.

        :raises UserError: there is no such inventory or file, or the file has a mistake in it.
        """
        return cls(**toml_file.read(name_or_path))

    def with_faults(self, faults: Iterable[str]) -> Inventory:
        """The same machine with further faults of its driver, of ``MACHINE_FAULTS``."""
        return replace(self, faults=self.faults | set(faults))

    @classmethod
    def from_nvml(cls) -> Inventory:
        """The GPUs of this machine, asked of NVIDIA's management library through ``nvidia-ml-py``.

        Of unequal GPUs, and of one that NVML counts but says nothing about, CUDA is asked in a child process.
        What nobody says is zero: such a GPU has its fault, and a UUID of zeros and its index.

        :raises UserError: ``nvidia-ml-py`` is not installed, or no driver answers.
        """
        return cls(**nvml.read())

    @staticmethod
    def names() -> tuple[str, ...]:
        """The names of the inventories that ship."""
        return catalogue.names()

    @cached_property
    def units(self) -> tuple[AnyDevice, ...]:
        """Whatever can hold a context: the GPUs by index, then their MIG slices, grouped by GPU."""
        return (*self.devices, *(unit for device in self.devices for unit in device.mig))

    @cached_property
    def in_pci_order(self) -> tuple[Device, ...]:
        """The GPUs that CUDA has under CUDA_DEVICE_ORDER=PCI_BUS_ID, before any mask: all but lost ones, and none
        where the driver is not loaded.
        """
        if "driver-not-loaded" in self.faults:
            return ()
        return tuple(device for device in self.devices if not device.lost)

    @cached_property
    def fastest_first(self) -> tuple[Device, ...]:
        """The GPUs that CUDA has in its default order, before any mask; equally fast ones by index."""
        return tuple(sorted(self.in_pci_order, key=lambda device: -device.relative_speed))

    def by_uuid(self, uuid: str) -> AnyDevice:
        """The GPU or MIG slice with exactly this UUID.

        :raises UserError: there is none.
        """
        unit = self._by_uuid.get(uuid)
        if unit is None:
            known = ", ".join(self._by_uuid) or "none at all"
            raise UserError(f"Inventory {self.name} ({self.origin}) has no device {uuid!r}. Its UUIDs are: {known}.")
        return unit

    def unique_prefix(self, unit: AnyDevice) -> str:
        """The shortest start of a GPU's UUID, of four hexadecimal digits or more, that CUDA accepts for it
        here.

        CUDA documents abbreviation for GPUs only, so a MIG slice's is its whole UUID.
        """
        if isinstance(unit, MigDevice):
            return unit.uuid
        others = [device.uuid for device in self.devices if device.uuid != unit.uuid]
        for length in range(_SHORTEST_PREFIX, len(unit.uuid)):
            if not any(other.startswith(unit.uuid[:length]) for other in others):
                return unit.uuid[:length]
        return unit.uuid

    def restricted_to(self, *, minors: Iterable[int] | None = None, indices: Iterable[int] | None = None) -> Inventory:
        """What a container sees that was given only some of these GPUs, by device node (minor) or by index.

        Indices start at 0 inside and keep PCI order, whatever the order of the argument; UUIDs, PCI bus ids
        and minor numbers stay the host's. CUDA_VISIBLE_DEVICES inside counts within the result.

        :raises UserError: a number that no GPU has; neither or both of the arguments.
        """
        if (minors is None) == (indices is None):
            raise UserError("Inventory.restricted_to takes either minors= or indices=, and one of them must be given.")
        if minors is not None:
            kept = self._chosen(minors, "minor", lambda device: device.minor)
        else:
            kept = self._chosen(indices or (), "index", lambda device: device.index)
        inside = tuple(_renumbered(device, index) for index, device in enumerate(kept))
        label = ",".join(str(device.index) for device in kept) or "none"
        return replace(self, name=f"{self.name}[{label}]", devices=inside, description=f"GPUs {label} of {self.name}")

    def _chosen(self, numbers: Iterable[int], what: str, number_of: Callable[[Device], int]) -> list[Device]:
        wanted = set(numbers)
        unknown = wanted - {number_of(device) for device in self.devices}
        if unknown:
            there = ", ".join(str(number_of(device)) for device in self.devices) or "no GPU"
            asked = ", ".join(map(str, sorted(unknown)))
            raise UserError(f"Inventory {self.name} ({self.origin}) has no GPU with {what} {asked}; it has {there}.")
        return [device for device in self.devices if number_of(device) in wanted]

    @cached_property
    def _hash(self) -> int:
        # Hashing every field of every device takes longer than resolving a mask, which looks machines up by
        # inventory.
        return hash((self.name, self.origin, tuple(device.uuid for device in self.devices)))

    @cached_property
    def _by_uuid(self) -> dict[str, AnyDevice]:
        return {unit.uuid: unit for unit in self.units}


def _renumbered(device: Device, index: int) -> Device:
    return replace(device, index=index, mig=tuple(replace(unit, parent_index=index) for unit in device.mig))


def _place(unit: AnyDevice) -> str:
    if isinstance(unit, Device):
        return f"GPU {unit.index}"
    return f"MIG slice {unit.gpu_instance}/{unit.compute_instance} of GPU {unit.parent_index}"


def _bus_ids(inventory: Inventory) -> Iterator[tuple[str, str]]:
    # A real GPU that answers nothing has no known bus id.
    return ((device.pci_bus_id, _place(device)) for device in inventory.devices if device.pci_bus_id)


def _check_counts(inventory: Inventory) -> None:
    gpus = len(inventory.devices)
    visible = sum(len(device.mig) if device.mig_enabled else 1 for device in inventory.devices)
    for count, what in ((gpus, "GPUs"), (visible, "GPUs and MIG slices that a process can see")):
        if count > MAX_DEVICES:
            raise UserError(
                f"Inventory {inventory.name} ({inventory.origin}) has {count} {what}; at most {MAX_DEVICES}"
                " are supported. Leave some out."
            )


def _check_unique(inventory: Inventory, what: str, values: Iterable[tuple[str, str]]) -> None:
    places: dict[str, str] = {}
    for value, place in values:
        if value in places:
            raise UserError(
                f"Inventory {inventory.name} ({inventory.origin}): {places[value]} and {place} both have the"
                f" {what} {value}. Each device needs a {what} of its own; change one of them."
            )
        places[value] = place


def _check_order(inventory: Inventory) -> None:
    for index, device in enumerate(inventory.devices):
        if device.index != index:
            raise UserError(
                f"Inventory {inventory.name} ({inventory.origin}): the device at position {index} has the"
                f" index {device.index}. Indices count from 0 in PCI order; give it the index {index}."
            )
    for (before, first), (after, second) in pairwise(_bus_ids(inventory)):
        if after.lower() < before.lower():
            raise UserError(
                f"Inventory {inventory.name} ({inventory.origin}): {second} at {after} comes after {first} at"
                f" {before}. Indices are in PCI order; list the devices by ascending PCI bus id."
            )
