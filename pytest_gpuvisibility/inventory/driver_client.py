"""A small client of whatever driver a program finds, for questions that this process must not ask itself.

The first cuInit of a process settles what it sees for good, and a driver that is loaded cannot be replaced: so this is
a program of its own, ``python -I -S driver_client.py WHAT``, standard library only. WHAT is one of

- ``count``: exit with 0 where NVML lists a GPU, else with 1.
- ``list``: print, as JSON, the GPUs that CUDA shows, in its order: the UUID's bytes in hexadecimal, PCI bus id, name,
  memory in bytes, compute capability (two numbers), multiprocessors.
- ``open``: open a context on each device that CUDA shows, print the bytes of its UUID, then ``done``; keep them until
  standard input ends.
- ``hold MIB``: hold so much memory of CUDA's device 0 until standard input ends. Prints ``held``, or the function that
  failed and its CUresult.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

CAPABILITY_MAJOR, CAPABILITY_MINOR, MULTIPROCESSORS = 75, 76, 16
"""Of CUdevice_attribute."""


class Refused(Exception):
    """A function of CUDA failed; the text says which, and with what."""


def command(*words: str) -> list[str]:
    """What to run for WHAT."""
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), *words]


class Cuda:
    """libcuda.so.1, initialised."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libcuda.so.1")
        self.ask("cuInit", 0)

    def ask(self, name: str, *arguments: object) -> None:
        """:raises Refused: it fails."""
        result = getattr(self.library, name)(*arguments)
        if result:
            raise Refused(f"{name} fails with CUresult {result}")

    def devices(self) -> list[ctypes.c_int]:
        count = ctypes.c_int()
        self.ask("cuDeviceGetCount", ctypes.byref(count))
        found = [ctypes.c_int() for _ in range(count.value)]
        for ordinal, device in enumerate(found):
            self.ask("cuDeviceGet", ctypes.byref(device), ordinal)
        return found

    def attribute(self, device: ctypes.c_int, attribute: int) -> int:
        number = ctypes.c_int()
        self.ask("cuDeviceGetAttribute", ctypes.byref(number), attribute, device)
        return number.value

    def uuid(self, device: ctypes.c_int, function: str = "cuDeviceGetUuid") -> str:
        raw = ctypes.create_string_buffer(16)
        self.ask(function, raw, device)
        return raw.raw.hex()

    def open(self, device: ctypes.c_int) -> ctypes.c_void_p:
        context = ctypes.c_void_p()
        self.ask("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        return context


def count() -> int:
    """The exit code of ``count``."""
    nvml, found = ctypes.CDLL("libnvidia-ml.so.1"), ctypes.c_uint()
    answers = nvml.nvmlInit_v2() == 0 and nvml.nvmlDeviceGetCount_v2(ctypes.byref(found)) == 0
    return 0 if answers and found.value else 1


def described(cuda: Cuda, device: ctypes.c_int) -> list[str | int]:
    """One entry of ``list``."""
    name, bus = ctypes.create_string_buffer(256), ctypes.create_string_buffer(32)
    memory = ctypes.c_size_t()
    cuda.ask("cuDeviceGetName", name, 256, device)
    cuda.ask("cuDeviceGetPCIBusId", bus, 32, device)
    cuda.ask("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    numbers = [cuda.attribute(device, which) for which in (CAPABILITY_MAJOR, CAPABILITY_MINOR, MULTIPROCESSORS)]
    return [cuda.uuid(device), bus.value.decode(), name.value.decode(), memory.value, *numbers]


def open_all(cuda: Cuda) -> None:
    """What ``open`` does; a device that refuses, such as one in exclusive use, is left out."""
    for device in cuda.devices():
        try:
            uuid = cuda.uuid(device, "cuDeviceGetUuid_v2")
            cuda.open(device)
        except Refused:
            continue
        print(uuid)
    print("done", flush=True)
    sys.stdin.read()


def hold(mebibytes: int) -> None:
    """What ``hold`` does."""
    try:
        cuda, address = Cuda(), ctypes.c_uint64()
        device = ctypes.c_int()
        cuda.ask("cuDeviceGet", ctypes.byref(device), 0)
        cuda.ask("cuCtxSetCurrent", cuda.open(device))
        if mebibytes:
            cuda.ask("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(mebibytes << 20))
        print("held", flush=True)
    except Refused as refusal:
        print(refusal, flush=True)
    sys.stdin.read()


def main(what: str, *words: str) -> int:
    if what == "count":
        return count()
    if what == "hold":
        hold(int(words[0]))
        return 0
    try:
        cuda = Cuda()
        if what == "list":
            print(json.dumps([described(cuda, device) for device in cuda.devices()]))
        else:
            open_all(cuda)
    except Refused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
