"""The physical GPUs of one machine: as data, from a TOML file, or from the machine's own driver."""

from .model import AnyDevice, Device, Inventory, MigDevice
from .real import DEFAULT_INVENTORY, REAL, RealMachine, check_caller, real_gpus_answer

__all__ = [
    "DEFAULT_INVENTORY",
    "REAL",
    "AnyDevice",
    "Device",
    "Inventory",
    "MigDevice",
    "RealMachine",
    "check_caller",
    "real_gpus_answer",
]
