"""Which process touched which device, and how we know: by the simulated driver's ledger, by NVML's process lists."""

from .base import Account, Evidence, Suspect, Witness
from .ledger import LedgerWitness
from .nvml import NvmlWitness
from .usual import usual_witness

__all__ = ["Account", "Evidence", "LedgerWitness", "NvmlWitness", "Suspect", "Witness", "usual_witness"]
