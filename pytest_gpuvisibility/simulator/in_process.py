"""The driver that this very process has loaded: what CUDA shows it, and how a simulated one follows it elsewhere.

A process asks CUDA once what there is, and keeps the answer. Nothing is initialised by asking here.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ..environment import MACHINE_VARIABLE
from ..inventory import uuid_digits

CUDA, NVML = "libcuda.so.1", "libnvidia-ml.so.1"
_RUNTIME, _HOLDS = 2, 4
"""Bits of gv_cuda_bonds, beside the first: that there is anything to say."""
_ROOM = 128 * 100
"""Bytes for the UUIDs of every unit that a machine can have."""


@dataclass(frozen=True)
class Binding:
    """What CUDA found when this process initialised it.

    ``shown``: the digits of the UUIDs of its devices, in its order. ``machine``: the directory of the simulated machine
    that it is on; "" for a real driver. ``through_runtime``: a CUDA runtime has asked too, which remembers the answer,
    as libraries over it do. ``holds``: contexts, memory or other objects.
    """

    shown: tuple[str, ...]
    machine: str = ""
    through_runtime: bool = True
    holds: bool = True

    def shows(self, uuids: Sequence[str]) -> bool:
        """Whether they are exactly these devices, in this order."""
        return self.shown == tuple(map(uuid_digits, uuids))

    def is_on(self, directory: str | os.PathLike[str]) -> bool:
        """Whether it is on that simulated machine; "" is no machine's directory."""
        here = os.fspath(directory)
        return bool(self.machine and here) and os.path.realpath(self.machine) == os.path.realpath(here)


def cuda_binding() -> Binding | None:
    """What CUDA has found in this process; None where nothing has initialised it."""
    cuda = _loaded(CUDA)
    if cuda is None:
        return None
    if not hasattr(cuda, "gv_cuda_bonds"):
        return _real_binding(cuda)
    bonds = cuda.gv_cuda_bonds()
    if not bonds:
        return None
    text = ctypes.create_string_buffer(_ROOM)
    cuda.gv_cuda_shown(text, len(text))
    cuda.gv_cuda_machine.restype = ctypes.c_char_p
    return Binding(
        tuple(map(uuid_digits, text.value.decode().split())),
        os.fsdecode(cuda.gv_cuda_machine() or b""),
        bool(bonds & _RUNTIME),
        bool(bonds & _HOLDS),
    )


def _real_binding(cuda: ctypes.CDLL) -> Binding | None:
    count, raw = ctypes.c_int(), ctypes.create_string_buffer(16)
    if cuda.cuDeviceGetCount(ctypes.byref(count)):
        return None
    ask = getattr(cuda, "cuDeviceGetUuid_v2", None) or cuda.cuDeviceGetUuid  # the older one knows no MIG slices
    found = []
    for device in range(count.value):
        if ask(raw, device):
            return None
        found.append(raw.raw.hex())
    return Binding(tuple(found))


def follow_nvml() -> None:
    """Let a simulated NVML that is in use speak of the machine that the environment leads to now, or of none.

    Handles of another machine mean nothing from then on.
    """
    nvml = _loaded(NVML)
    if nvml is not None and hasattr(nvml, "gv_nvml_follow"):
        nvml.gv_nvml_follow()


def follow_cuda(uuids: Sequence[str], *, to_real: bool = False) -> Binding | None:
    """Let CUDA show exactly these devices, of the machine and under the mask of the environment; or what forbids it.

    A simulated driver forgets what it found where nothing of the program is lost by that. It is what a real one does at
    its first cuInit; then never again.

    :param to_real: the environment leads to the real machine, which may itself be a simulated one, of somebody further
        out.
    """
    cuda, bound = _loaded(CUDA), cuda_binding()
    here = os.environ.get(MACHINE_VARIABLE, "")
    if bound is None:
        if cuda is not None and hasattr(cuda, "gv_cuda_forget"):
            cuda.gv_cuda_forget()  # for what it says before it is initialised
        return None
    stays, same = bound.is_on(here), bound.shows(uuids)
    if same and stays:
        return None
    forgets = hasattr(cuda, "gv_cuda_forget") and not (to_real and stays)
    if cuda and forgets and not bound.holds and (same or not bound.through_runtime):
        cuda.gv_cuda_forget()
        return None
    return None if same else bound


@functools.cache
def _found(name: str) -> ctypes.CDLL:
    return ctypes.CDLL(name, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)


def _loaded(name: str) -> ctypes.CDLL | None:
    """A library that is loaded already, under the name that programs ask for; a driver is never unloaded."""
    if sys.platform != "linux":
        return None
    try:
        return _found(name)
    except OSError:
        return None
