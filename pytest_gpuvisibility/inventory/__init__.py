"""The physical GPUs of one machine: as data, from a TOML file, or from the machine's own driver."""

from .devices import COMPUTE_MODES, FAULTS, MACHINE_FAULTS, AnyDevice, Device, MigDevice, label, number, uuid_digits
from .model import Inventory
from .real import DEFAULT_INVENTORY, REAL, RealMachine, check_caller, has_driver, real_gpus_answer

__all__ = [
    "COMPUTE_MODES", "DEFAULT_INVENTORY", "FAULTS", "MACHINE_FAULTS", "REAL", "AnyDevice", "Device",
    "Inventory", "MigDevice", "RealMachine", "check_caller", "has_driver", "label", "number", "real_gpus_answer",
    "uuid_digits",
]  # fmt: skip
