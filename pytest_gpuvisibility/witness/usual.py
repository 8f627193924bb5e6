"""Which witness there is where nobody has supplied another."""

from __future__ import annotations

from ..inventory import RealMachine
from ..simulator import Machine
from .base import Witness
from .ledger import LedgerWitness
from .nvml import NvmlWitness


def usual_witness(machine: Machine | RealMachine) -> Witness:
    """The simulated driver's ledger, or NVML's process lists."""
    return NvmlWitness(machine.inventory) if isinstance(machine, RealMachine) else LedgerWitness(machine)
