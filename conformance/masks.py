"""Masks relative to the machine at hand: the same row is asked on one GPU and on eight, in MIG mode or not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, takewhile

from pytest_gpuvisibility.inventory import Device, Inventory, MigDevice
from pytest_gpuvisibility.masks import FIRST_WITH_MANY_SLICES
from pytest_gpuvisibility.suite import DoesNotApply

PCI = "PCI_BUS_ID"
FASTEST = "FASTEST_FIRST"
GPU_BEGINNING = len("GPU-00000000")


@dataclass(frozen=True)
class Masks:
    """What masks are made of. Positions count the GPUs outside MIG mode in PCI order; -1 is the last.

    A position that is not there raises DoesNotApply. Use positions of one sign in a mask: where there is one GPU, 0
    and -1 are the same.
    """

    inventory: Inventory

    @cached_property
    def gpus(self) -> tuple[Device, ...]:
        """The GPUs that CUDA has whole: not in MIG mode, not lost."""
        return tuple(gpu for gpu in self.inventory.in_pci_order if not gpu.mig_enabled)

    @cached_property
    def cut(self) -> tuple[Device, ...]:
        """The GPUs in MIG mode that have slices."""
        return tuple(gpu for gpu in self.inventory.in_pci_order if gpu.mig_enabled and gpu.mig)

    @cached_property
    def slices(self) -> tuple[MigDevice, ...]:
        return tuple(unit for gpu in self.cut for unit in gpu.mig)

    def need(self, count: int) -> None:
        """:raises DoesNotApply: CUDA has fewer than ``count`` GPUs outside MIG mode."""
        if len(self.gpus) < count:
            where = " outside MIG mode" if self.cut else ""
            raise DoesNotApply(f"needs {_number(count, 'GPU')}{where}; {self.inventory.name} has {len(self.gpus)}")

    def need_slices(self, count: int = 1) -> None:
        """:raises DoesNotApply: there are fewer than ``count`` MIG slices."""
        if len(self.slices) < count:
            raise DoesNotApply(f"needs {_number(count, 'MIG slice')}; {self.inventory.name} has {len(self.slices)}")

    def need_no_mig(self) -> None:
        """:raises DoesNotApply: a GPU is in MIG mode."""
        count = sum(gpu.mig_enabled for gpu in self.inventory.devices)
        if count:
            raise DoesNotApply(
                f"needs a machine without MIG; {self.inventory.name} has {_number(count, 'GPU')} in MIG mode"
            )

    def need_driver(self, *, many_slices: bool) -> None:
        """:raises DoesNotApply: the driver is not on that side of R570, with which MIG changed."""
        version = self.inventory.driver_version
        if (int(version.partition(".")[0]) >= FIRST_WITH_MANY_SLICES) is not many_slices:
            side = "from" if many_slices else "before"
            raise DoesNotApply(
                f"needs a driver {side} R{FIRST_WITH_MANY_SLICES}{' on' * many_slices}; this is {version}"
            )

    @property
    def beyond(self) -> str:
        """The first ordinal that is out of range."""
        return str(len(self.inventory.in_pci_order))

    def ordinal(self, position: int, order: str | None = None) -> str:
        """What CUDA calls a GPU before any mask."""
        self._reach(position)
        return self.ordinal_of(self.gpus[position], order)

    def ordinal_of(self, gpu: Device, order: str | None = None) -> str:
        """What CUDA calls this GPU before any mask, in MIG mode or not."""
        enumeration = self.inventory.in_pci_order if order == PCI else self.inventory.fastest_first
        return str(enumeration.index(gpu))

    def ordinals(self, *positions: int) -> str:
        """A list of ordinals."""
        return ",".join(self.ordinal(position) for position in positions)

    def uuid(self, position: int) -> str:
        self._reach(position)
        return self.gpus[position].uuid

    def uuids(self, *positions: int) -> str:
        """A list of UUIDs."""
        return ",".join(self.uuid(position) for position in positions)

    def prefix(self, position: int) -> str:
        """The shortest beginning of a UUID that is one GPU's alone."""
        self._reach(position)
        return self.inventory.unique_prefix(self.gpus[position])

    @property
    def shared_prefix(self) -> str:
        """The longest beginning that the UUIDs of two GPUs share; ``GPU-`` at least."""
        self.need(2)
        return max((_common(*pair) for pair in combinations([gpu.uuid for gpu in self.gpus], 2)), key=len)

    @property
    def strange_prefix(self) -> str:
        """The beginning of a UUID that no GPU has."""
        taken = {gpu.uuid[:GPU_BEGINNING] for gpu in self.inventory.devices}
        return next(prefix for number in range(len(taken) + 1) if (prefix := f"GPU-{number:08x}") not in taken)

    def _reach(self, position: int) -> None:
        self.need(position + 1 if position >= 0 else -position)


def _common(one: str, other: str) -> str:
    """The beginning that two texts share."""
    return one[: sum(1 for _ in takewhile(bool, (a == b for a, b in zip(one, other, strict=False))))]


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
