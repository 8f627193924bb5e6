"""Simulated machines: an inventory behind a simulated NVIDIA driver, so that unmodified programs find it."""

from .in_process import Binding, cuda_binding, follow_cuda, follow_nvml
from .kernel_launches import KernelLaunches
from .ledger import Ledger, LedgerRecord, by_process
from .machine import DriverAlreadyLoaded, Machine, load_driver, write_tools
from .native import library_directory
from .probe import ProbeFailed, ProbeResult, probe
from .run_program import run_program

__all__ = [
    "Binding", "DriverAlreadyLoaded", "KernelLaunches", "Ledger", "LedgerRecord", "Machine", "ProbeFailed",
    "ProbeResult", "by_process", "cuda_binding", "follow_cuda", "follow_nvml", "library_directory", "load_driver",
    "probe", "run_program", "write_tools",
]  # fmt: skip
