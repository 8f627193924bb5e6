"""One GPU, or one MIG slice of it: what there is to know of it, before anybody hides it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, TypedDict

ComputeMode = Literal["default", "exclusive-process", "prohibited"]

COMPUTE_MODES: tuple[ComputeMode, ...] = ("default", "exclusive-process", "prohibited")
FAULTS = ("nvml-unknown", "nvml-no-permission", "lost")
"""What can be wrong with one GPU; docs/inventories.md says what each does."""
MACHINE_FAULTS = ("driver-not-loaded", "nvml-missing", "nvml-no-permission")
"""What can be wrong with the driver of a machine."""
_BRANDS = ("NVIDIA ", "GeForce ", "Tesla ", "Quadro ")


@dataclass(frozen=True, slots=True, repr=False)
class MigDevice:
    """A compute instance of a GPU in MIG mode. ``memory`` is in bytes; ``index`` is that of its GPU."""

    uuid: str
    gpu_instance: int
    compute_instance: int
    profile: str
    name: str
    memory: int
    multiprocessors: int
    parent_index: int
    parent_uuid: str

    @property
    def index(self) -> int:
        return self.parent_index

    @property
    def short_name(self) -> str:
        """The name without its maker, such as ``A100 MIG 3g.40gb``."""
        return f"{_short(self.name)} MIG {self.profile}"

    def __repr__(self) -> str:
        return f"<{label(self)} {_short(self.name)} {_short_uuid(self.uuid)}>"


@dataclass(frozen=True, slots=True, repr=False)
class Device:
    """One GPU. ``index`` counts in PCI order; ``memory`` is in bytes; ``pci_bus_id`` looks like
    ``00000000:07:00.0``.

    ``relative_speed`` is what ``CUDA_DEVICE_ORDER=FASTEST_FIRST`` sorts by: only its order matters.
    """

    index: int
    uuid: str
    pci_bus_id: str
    minor: int
    name: str
    memory: int
    compute_capability: tuple[int, int]
    multiprocessors: int
    relative_speed: float = 1.0
    compute_mode: ComputeMode = "default"
    faults: frozenset[str] = frozenset()
    mig: tuple[MigDevice, ...] = ()
    mig_enabled: bool = False

    @property
    def short_name(self) -> str:
        """The name without its maker, such as ``A100`` or ``RTX 4090``."""
        return _short(self.name)

    def __repr__(self) -> str:
        return f"<{label(self)} {self.short_name} {_short_uuid(self.uuid)}>"

    @property
    def lost(self) -> bool:
        """Whether the GPU has fallen off the bus: CUDA does not enumerate it."""
        return "lost" in self.faults


AnyDevice: TypeAlias = Device | MigDevice


def number(unit: AnyDevice) -> str:
    """A device in one word: its index, or ``1/2/0``, a MIG slice's GPU, GPU instance and compute instance."""
    return str(unit.index) if isinstance(unit, Device) else f"{unit.index}/{unit.gpu_instance}/{unit.compute_instance}"


def label(unit: AnyDevice) -> str:
    """What messages call a device: ``GPU 3``, or ``GPU 1 MIG 1g.10gb/5`` with its GPU instance."""
    if isinstance(unit, MigDevice):
        return f"GPU {unit.index} MIG {unit.profile}/{unit.gpu_instance}"
    return f"GPU {unit.index}"


def uuid_digits(uuid: str) -> str:
    """The digits of a UUID alone: CUDA gives its bytes, and does not say whether they are a GPU's or a slice's."""
    return uuid.removeprefix("GPU-").removeprefix("MIG-").replace("-", "").lower()


def _short_uuid(uuid: str) -> str:
    """``GPU-edfb0a1c…``, ``MIG-``, or of the older form ``MIG-GPU-``."""
    kept = len(uuid) - len(uuid.removeprefix("MIG-").removeprefix("GPU-")) + 8
    return f"{uuid[:kept]}…" if len(uuid) > kept else uuid


def _short(name: str) -> str:
    for brand in _BRANDS:
        name = name.removeprefix(brand)
    words = name.replace("-", " ").split() or [name]
    return " ".join(words[:2]) if words[0] in ("RTX", "GTX", "TITAN") else words[0]


class _NamedDevices(TypedDict):
    name: str
    devices: tuple[Device, ...]


class InventoryParts(_NamedDevices, total=False):
    """What is read of a machine, from a file or from its driver: see :class:`Inventory`."""

    driver_version: str
    cuda_version: str
    origin: str
    description: str
    faults: frozenset[str]
