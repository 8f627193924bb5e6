"""The physical GPUs of one machine: as data, from a TOML file, or from the machine's own driver."""

from .model import AnyDevice, Device, Inventory, MigDevice

__all__ = ["AnyDevice", "Device", "Inventory", "MigDevice"]
