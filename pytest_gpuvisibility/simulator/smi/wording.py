"""How nvidia-smi writes values, wherever it does."""

from __future__ import annotations

from collections.abc import Callable

from .nvml import NOT_SUPPORTED, NvmlError

NOT_AVAILABLE = "N/A"


def mebibytes(count: int) -> str:
    return str(count // 2**20)


def enabled(state: int) -> str:
    return "Enabled" if state else "Disabled"


def yes(state: int) -> str:
    return "Yes" if state else "No"


def active(state: int) -> str:
    return "Active" if state else "Not Active"


def instance(number: int) -> str:
    """A GPU or compute instance's id; none is 0xFFFFFFFF."""
    return NOT_AVAILABLE if number == 0xFFFFFFFF else str(number)


COMPUTE_MODES = ("Default", "Exclusive_Thread", "Prohibited", "Exclusive_Process")


def or_not_available(read: Callable[[], str]) -> str:
    """What `read` returns; as the real program has it, "N/A" or the error where NVML has no answer."""
    try:
        return read()
    except NvmlError as error:
        return NOT_AVAILABLE if error.code == NOT_SUPPORTED else str(error)
