"""Which process touched which device, and how we know: by the simulated driver's ledger, by NVML's process lists."""

from ..records import Account, Evidence
from .base import ProcessRef, Witness, optional
from .checked import CheckedWitness
from .ledger import LedgerWitness
from .nvml import NvmlWitness, ProcessLists, check_attribution
from .usual import usual_witness

__all__ = [
    "Account", "CheckedWitness", "Evidence", "LedgerWitness", "NvmlWitness", "ProcessLists", "ProcessRef",
    "Witness", "check_attribution", "optional", "usual_witness",
]  # fmt: skip
