"""This machine and its own GPUs, where a simulated machine could stand as well."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from ..environment import MACHINE_VARIABLE, MASK
from ..errors import UserError
from . import driver_client
from .model import Inventory

REAL = "real"
"""The name of the machine's own inventory, as --gpu-inventory has it."""
DEFAULT_INVENTORY = "a100x8"
DRIVER_FILES = ("/dev/nvidiactl", "/dev/dxg", "/proc/driver/nvidia/version")


@dataclass(frozen=True)
class RealMachine:
    """This machine, where a simulated one could stand as well."""

    inventory: Inventory

    def environ(self, base: Mapping[str, str], *, nvidia_smi: bool = True) -> dict[str, str]:
        """``base``: the driver is where it always is.

        :raises ValueError: nvidia-smi is to be missing.
        """
        if not nvidia_smi:
            raise ValueError("nvidia-smi cannot be taken away from a real machine")
        return dict(base)

    def kernel_launches(self) -> tuple[int, int]:
        """As a simulated machine counts kernel launches that it skipped and refused: real ones run."""
        return 0, 0


def check_caller(environ: Mapping[str, str]) -> None:
    """The suite writes masks over the whole machine, so the whole machine must be the caller's.

    :raises UserError: the caller was given a part of it.
    """
    mask = environ.get(MASK)
    if mask is not None:
        raise UserError(
            f"--gpu-inventory=real: CUDA_VISIBLE_DEVICES={mask} is set, but the suite starts servers under masks of its"
            " own, over every GPU of the machine. Where all of them are yours to use, unset it; else use a simulated"
            " machine such as --gpu-inventory=a100x8."
        )


def has_driver() -> bool:
    """Whether the system has a driver for GPUs: not one that is simulated, and not that it works."""
    return any(os.path.exists(path) for path in DRIVER_FILES)


def real_gpus_answer() -> bool:
    """Whether this machine's own NVML lists a GPU. Asked in a child: a driver that is loaded cannot be replaced."""
    if MACHINE_VARIABLE not in os.environ and not has_driver():
        return False
    asked = subprocess.run(driver_client.command("count"), capture_output=True, check=False, stdin=subprocess.DEVNULL)
    return asked.returncode == 0
