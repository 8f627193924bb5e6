"""A simulated machine: an inventory, the driver in front of it, and the environment that leads there."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from ..environment import LIBRARIES_VARIABLE, MACHINE_VARIABLE, PROBE_VARIABLE, restore
from ..errors import UserError
from ..inventory import Inventory
from ..plain import from_plain, to_plain
from . import state
from .in_process import follow_nvml
from .ledger import Ledger
from .native import (
    RUNTIMES,
    absent_nvml_directory,
    cublas_library,
    library_directory,
)
from .preloading import lead_to_runtimes, prepend, without
from .probe import ProbedDevice, ProbeResult, probe

# In the order in which they are loaded: the runtimes need libcuda.so.1.
_DRIVER_LIBRARIES = ("libnvidia-ml.so.1", "libcuda.so.1", *RUNTIMES)


class DriverAlreadyLoaded(UserError):
    """This process has loaded another driver, and a process can have only one."""


class Machine:
    """A simulated machine in a directory of its own, until close() removes it.

    >>> with Machine.create(Inventory.load("a100x4")) as machine:
    ...     subprocess.run(["nvidia-smi", "-L"], env=machine.environ(os.environ))
    """

    def __init__(self, directory: Path, inventory: Inventory, kernel_launches: str) -> None:
        """For create() and open(); `directory` must already hold the machine. kernel_launches: as create() has it."""
        self.directory = directory
        self.inventory = inventory
        self.kernel_launch_policy = kernel_launches
        self.ledger = Ledger(directory / "ledger.jsonl")
        self._replaced: dict[str, str | None] | None = None

    @classmethod
    def create(
        cls,
        inventory: Inventory,
        directory: Path | None = None,
        kernel_launches: str = "error",
        tools: Path | None = None,
        questions: bool = False,
    ) -> Machine:
        """Makes a machine of the inventory.

        directory: made where it does not exist, and removed by close(); by default a new temporary one.
        tools: a directory that write_tools() has filled, for several machines; by default each has its own.
        kernel_launches: "error", every kernel launch fails with CUDA_ERROR_NOT_SUPPORTED; "noop", it does nothing,
        successfully. questions: whether the ledger also says which GPUs a process asked NVML about, for their memory,
        neighbours or processors.

        :raises NativeLibraryMissing: the simulated driver is not installed.
        :raises MachineError: a machine cannot hold the inventory.
        """
        library_directory()
        directory = _new_directory(directory)
        try:
            state.create(directory, inventory, kernel_launches, questions)
            _write_inventory(directory, inventory)
            if tools is None:
                _write_nvidia_smi(directory)
            else:
                (directory / "bin").symlink_to(tools)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return cls(directory, inventory, kernel_launches)

    @classmethod
    def open(cls, directory: Path) -> Machine:
        """The machine that another process made in `directory`.

        :raises MachineError: there is none.
        """
        directory = directory.absolute()
        kernel_launches = state.snapshot(directory)["launch"]
        return cls(directory, _read_inventory(directory), kernel_launches)

    def close(self) -> None:
        """Removes the machine; programs still on it go on with what they have, and none can start there."""
        self.detach()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def environ(self, base: Mapping[str, str], *, nvidia_smi: bool = True) -> dict[str, str]:
        """`base` with what a program needs to find this machine's driver and CUDA runtime instead of any other.

        LD_LIBRARY_PATH leads to the driver, LD_AUDIT to the runtimes (preloading.py). Where launches are skipped,
        LD_PRELOAD has every program load a library that skips cuBLAS's products too (native/cublas/cublas.c).

        nvidia_smi: whether it finds `nvidia-smi` too. If not, it finds none: a directory of its PATH that has
        one is replaced by a directory of links to everything else in it.
        """
        environ = dict(base)
        environ[MACHINE_VARIABLE] = str(self.directory)
        libraries = prepend(library_directory(), environ.get("LD_LIBRARY_PATH", ""))
        if "nvml-missing" in self.inventory.faults:
            libraries = prepend(absent_nvml_directory(), libraries)
        environ["LD_LIBRARY_PATH"] = libraries
        lead_to_runtimes(environ)
        if self.kernel_launch_policy == "noop":
            environ["LD_PRELOAD"] = prepend(cublas_library(), environ.get("LD_PRELOAD", ""))
        path = environ.get("PATH", os.defpath)
        if outer := base.get(MACHINE_VARIABLE):
            path = without(Path(outer) / "bin", path)
        environ["PATH"] = prepend(self.directory / "bin", path) if nvidia_smi else self._path_without_nvidia_smi(path)
        return environ

    def attach(self) -> None:
        """Puts this very process on the machine, and every child that inherits its environment.

        Call it before anything loads another CUDA or NVML library. On a machine without NVML, children cannot load
        it; this process can, and is told NVML_ERROR_LIBRARY_NOT_FOUND by its nvmlInit. Whoever has initialised NVML
        before finds it on this machine; CUDA, which keeps what it found, does not move by itself: follow_cuda().

        :raises DriverAlreadyLoaded: it is too late for that.
        """
        if self._replaced is not None:
            return
        load_driver(self.kernel_launch_policy)
        changed = self.environ(os.environ)
        self._replaced = {
            name: os.environ.get(name) for name, value in changed.items() if os.environ.get(name) != value
        }
        os.environ.update(changed)
        follow_nvml()

    def detach(self) -> None:
        """Undoes attach()'s changes of the environment; the libraries stay loaded."""
        replaced, self._replaced = self._replaced, None
        if replaced is not None:
            restore(os.environ, replaced)
            follow_nvml()

    def snapshot(self) -> dict[str, Any]:
        """The devices and living processes as they are now, in the shape that state.snapshot() describes."""
        return state.snapshot(self.directory)

    def kernel_launches(self) -> tuple[int, int]:
        """How many kernel launches did nothing although they succeeded, and how many failed."""
        return state.kernel_launches(self.directory)

    def set_kernel_launch_policy(self, policy: str) -> None:
        """What a kernel launch does from now on, as create() has it."""
        state.set_kernel_launch_policy(self.directory, policy)
        self.kernel_launch_policy = policy

    def set_compute_mode(self, index: int, mode: str) -> None:
        """Changes GPU `index` to "default", "exclusive-process" or "prohibited"."""
        state.set_compute_mode(self.directory, index, mode)

    def set_faults(self, index: int, faults: Iterable[str]) -> None:
        """Makes GPU `index` fail in these ways and no other: "nvml-unknown", "nvml-no-permission", "lost"."""
        state.set_faults(self.directory, index, faults)

    def probe(self, environ: Mapping[str, str], *, timeout: float = 60.0) -> ProbeResult:
        """What CUDA shows to a process with exactly this environment; nothing of it is in the ledger.

        :raises ProbeFailed: the program does not answer within `timeout` seconds.
        """
        result = probe(environ, timeout=timeout)
        slices = {slice_.uuid for device in self.inventory.devices for slice_ in device.mig}
        devices = (_as_slice(device) if _as_slice(device).uuid in slices else device for device in result.devices)
        return replace(result, devices=tuple(devices))

    def _path_without_nvidia_smi(self, path: str) -> str:
        return os.pathsep.join(
            str(self._links_to(Path(entry))) if entry and os.path.lexists(os.path.join(entry, "nvidia-smi")) else entry
            for entry in path.split(os.pathsep)
        )

    def _links_to(self, directory: Path) -> Path:
        """A directory of links to everything in `directory` but nvidia-smi, made once for each machine."""
        links = self.directory / "path" / directory.resolve().as_posix().strip("/").replace("/", "!")
        if not links.is_dir():
            links.parent.mkdir(exist_ok=True)
            made = Path(tempfile.mkdtemp(dir=links.parent))
            for entry in directory.iterdir():
                if entry.name != "nvidia-smi":
                    (made / entry.name).symlink_to(directory.absolute() / entry.name)
            # Another process may be at the same; a directory can only be renamed onto an empty one.
            with contextlib.suppress(OSError):
                made.rename(links)
        return links


def _as_slice(device: ProbedDevice) -> ProbedDevice:
    """CUDA gives the bytes of a UUID, and not whether they are a GPU's or a slice's."""
    return replace(device, uuid="MIG-" + device.uuid.removeprefix("GPU-").removeprefix("MIG-"))


def _new_directory(directory: Path | None) -> Path:
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="gpu-visibility-"))
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _write_nvidia_smi(directory: Path) -> None:
    """<directory>/bin/nvidia-smi: this Python, with nothing of the caller's environment, on
    simulator/nvidia_smi.py.

    It names the machine itself, so that it also works where the caller's environment was cleared. The script
    finds libgpuvisibility.so in GPU_VISIBILITY_LIBRARIES.
    """
    script = directory / "bin" / "nvidia-smi"
    script.parent.mkdir()
    _write_script(script, f"export {MACHINE_VARIABLE}={shlex.quote(str(directory))}\n")


def write_tools(directory: Path) -> None:
    """Writes the programs of machines whose `bin` leads to this directory, which exists and may hold programs.

    They find their machine by the path under which they are called, or else in the environment.
    """
    smi = "nvidia-smi"
    find = f"case $0 in */bin/{smi}) {MACHINE_VARIABLE}=${{0%/bin/{smi}}}; export {MACHINE_VARIABLE};; esac\n"
    _write_script(directory / smi, find)


def _write_script(script: Path, find_machine: str) -> None:
    program = Path(__file__).with_name("nvidia_smi.py")
    script.write_text(
        "#!/bin/sh\n"
        f"{find_machine}"
        f"export {LIBRARIES_VARIABLE}={shlex.quote(str(library_directory()))}\n"
        # It asks NVML about every GPU, whatever it is to print: none of that is the caller's decision.
        f"export {PROBE_VARIABLE}=1\n"
        f'exec {shlex.quote(sys.executable)} -I -S {shlex.quote(str(program))} "$@"\n'
    )
    script.chmod(0o755)


def _write_inventory(directory: Path, inventory: Inventory) -> None:
    (directory / "inventory.json").write_text(_as_json(inventory), encoding="utf-8")


@functools.lru_cache(maxsize=32)
def _as_json(inventory: Inventory) -> str:
    return json.dumps(to_plain(inventory))


def _read_inventory(directory: Path) -> Inventory:
    return from_plain(Inventory, json.loads((directory / "inventory.json").read_text(encoding="utf-8")))


# Kept for good: a driver library is never unloaded from a process.
_loaded: dict[str, ctypes.CDLL] = {}


def load_driver(kernel_launches: str = "error") -> None:
    """Loads the simulated driver into this process, under the names by which programs ask for it.

    Alone that shows no GPU: attach() does. kernel_launches: as Machine.create() has it.

    :raises DriverAlreadyLoaded: it is too late for that.
    """
    directory = library_directory()
    names = [*_DRIVER_LIBRARIES, *([cublas_library().name] if kernel_launches == "noop" else [])]
    missing = [name for name in names if name not in _loaded]
    for name in missing:
        if foreign := _loaded_from_elsewhere(name, directory):
            raise DriverAlreadyLoaded(
                f"This process has already loaded {foreign}, so it cannot go onto a simulated machine."
                " Choose the machine before anything loads CUDA or NVML (--gpu-inventory does), give the test a process"
                " of its own (@pytest.mark.gpu_isolated), or run the program as a child."
            )
    _loaded.update((name, ctypes.CDLL(str(directory / name), mode=ctypes.RTLD_GLOBAL)) for name in missing)


def _loaded_from_elsewhere(name: str, directory: Path) -> str | None:
    """The file of a library of this name that the process has mapped and that is not ours."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        path = line.split(maxsplit=5)[5:]
        if path and Path(path[0]).name.startswith(name.removesuffix("1")) and Path(path[0]).parent != directory:
            return path[0]
    return None
