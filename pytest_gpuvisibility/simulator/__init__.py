"""Simulated machines: an inventory behind a simulated NVIDIA driver, so that unmodified programs find it."""

from .kernel_launches import KernelLaunches
from .ledger import Ledger, LedgerRecord, by_process
from .machine import DriverAlreadyLoaded, Machine, write_tools
from .native import library_directory
from .probe import ProbeFailed, ProbeResult, probe
from .run_program import run_program

__all__ = [
    "DriverAlreadyLoaded", "KernelLaunches", "Ledger", "LedgerRecord", "Machine", "ProbeFailed", "ProbeResult",
    "by_process", "library_directory", "probe", "run_program", "write_tools",
]  # fmt: skip
