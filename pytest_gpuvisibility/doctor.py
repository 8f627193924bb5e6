"""``gpu-visibility doctor``: what this machine has, what is simulated on it, what is refused, and why."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from .environment import MACHINE_VARIABLE, MASK
from .errors import UserError
from .inventory import Inventory, real_gpus_answer
from .simulator import Machine, ProbeFailed, device_nodes, exports, library_directory

WIDTH = 120
LABEL = 22
LIBRARIES = {
    "libcuda.so.1": "CUDA_ERROR_NOT_SUPPORTED",
    "libcudart.so.13": "cudaErrorNotSupported",
    "libcudart.so.12": "cudaErrorNotSupported",
    "libnvidia-ml.so.1": "NVML_ERROR_NOT_SUPPORTED",
}
"""With what their functions answer that are not simulated."""
SHADOWED = (*LIBRARIES, "nvidia-smi")

REFUSALS = (
    (
        "kernels",
        "There is nothing to run them on. A launch is an error, or does nothing and is counted (`gpu-visibility run"
        " --launch noop`, pytest's --gpu-launch=noop); what is then read back is not what the kernel would have"
        " computed.",
    ),
    (
        "static CUDA runtimes",
        "What contains libcudart instead of loading it: nvcc's default (-cudart static), cupy, cuda.bindings.runtime."
        " It asks cuGetExportTable for tables of functions that only NVIDIA knows; that is refused and"
        " recorded, and the program is told CUDA error 801. Programs that load libcudart.so.12 or .13 get ours.",
    ),
    (
        "cuBLAS, cuDNN, cuPTI",
        "NVIDIA's own libraries take the same private way into the driver, so nothing that needs them works, JAX's"
        " kernels among it. NVIDIA's own nvidia-smi does too; ours stands in for it.",
    ),
)

OUT_OF_REACH = (
    (
        "cleared environments",
        f"A program finds the machine by LD_LIBRARY_PATH, LD_AUDIT and {MACHINE_VARIABLE}: one started by `env -i`,"
        " sudo or a scheduler that clears them finds the real driver or none, and so does one that is setuid.",
    ),
    (
        "its own copy",
        "A program that loads a driver library by its absolute path, or has the directory of one in its DT_RPATH.",
    ),
    (
        "containers",
        "What runs in one has its own files; the machine's directory and the libraries are not among them.",
    ),
    (
        "device files",
        "There is no /dev/nvidia0: a program that looks for it, as JAX does, sees no GPU. Only rules about containers"
        " arrange it, where the line above says so.",
    ),
)


def report() -> tuple[list[str], bool]:
    """Lines for a person, and whether a simulated machine works here."""
    lines = list(_items([*_platform(), *_shadowed()]))
    try:
        works, text = _works()
        lines += _items([("Simulated driver", text), ("", f"libraries in {library_directory()}")])
        lines += ["", *_simulated(), "", *_refused()]
    except (UserError, ProbeFailed) as error:
        works = False
        lines += _items([("Simulated driver", f"does not work here: {error}")])
    return lines, works


def _items(items: Iterable[tuple[str, str]], indent: str = "") -> Iterator[str]:
    for label, text in items:
        first, rest = f"{indent}{label:<{LABEL - len(indent)}}", " " * LABEL
        yield from textwrap.wrap(
            text,
            WIDTH,
            initial_indent=first + " ",
            subsequent_indent=rest + " ",
            break_on_hyphens=False,
            break_long_words=False,  # a path in two pieces cannot be copied
        )


# ---- what is here ----


def _platform() -> Iterator[tuple[str, str]]:
    yield "Platform", f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    yield "Real GPUs", _real()
    yield MASK, repr(os.environ[MASK]) if MASK in os.environ else "unset"
    why_not = device_nodes.why_not()
    yield (
        "Device nodes",
        f"rules about containers go without a /dev of their own: {why_not}"
        if why_not
        else "rules about containers give a server a /dev of its own, with an inventory's nodes",
    )
    if outer := os.environ.get(MACHINE_VARIABLE):
        yield "Already simulated", f"this process is on the machine in {outer}; what is called real here is that one"


def _real() -> str:
    if not real_gpus_answer():
        return "none (no NVIDIA driver answers)"
    try:
        return ", ".join(f"{device.name} {device.uuid}" for device in Inventory.from_nvml().devices)
    except UserError as error:
        return str(error)


def _shadowed() -> Iterator[tuple[str, str]]:
    """What a program finds now, and no longer finds when it is started on a simulated machine."""
    known = _linker_cache()
    for name in SHADOWED:
        found = shutil.which(name) if name == "nvidia-smi" else _on_library_path(name) or known.get(name)
        yield name, f"{found} (hidden from programs on a simulated machine)" if found else "not here"


def _on_library_path(name: str) -> str | None:
    directories = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    return next((str(path) for entry in directories if entry and (path := Path(entry) / name).is_file()), None)


def _linker_cache() -> dict[str, str]:
    """Paths of libraries by SONAME, as the dynamic linker knows them; empty where it cannot be asked."""
    ldconfig = shutil.which("ldconfig", path=f"{os.environ.get('PATH', '')}{os.pathsep}/sbin:/usr/sbin")
    if ldconfig is None:
        return {}
    listed = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False).stdout
    return dict(re.findall(r"^\s*(\S+) \(.*\) => (.+)$", listed, re.MULTILINE))


# ---- what is simulated ----


def _works() -> tuple[bool, str]:
    """Whether CUDA and nvidia-smi show what they should on a machine made for this question, and in words."""
    inventory = Inventory.load("a100x2")
    with Machine.create(inventory) as machine:
        environ = machine.environ({"PATH": os.defpath})
        cuda = len(machine.probe(environ).devices)
        smi = machine.directory / "bin" / "nvidia-smi"
        listed = subprocess.run([smi, "-L"], env=environ, capture_output=True, text=True, check=False).stdout
    there, printed = len(inventory.devices), listed.count("UUID: GPU-")
    works = cuda == printed == there
    shown = f"of the {there} devices of {inventory.name}, CUDA shows {cuda} and nvidia-smi {printed}"
    return works, f"{'works' if works else 'does not work here'}: {shown}"


def _simulated() -> Iterator[str]:
    yield "Simulated, for programs that are started on a simulated machine:"
    for name in LIBRARIES:
        found = exports.read(library_directory() / name)
        total = len(found.answered) + len(found.refused)
        yield from _items(
            [(name, f"{len(found.answered)} of {total} functions: {_families(found.answered)}")], indent="  "
        )
    yield from _items(
        [
            ("nvidia-smi", "a program of ours: -L, the table, -q [-x], --query-gpu, --query-compute-apps, topo -m, -l"),
            ("across processes", "memory, contexts and who holds them; what a process had is free when it is dead"),
        ],
        indent="  ",
    )


def _families(names: tuple[str, ...]) -> str:
    return ", ".join(f"{family} {count}" for family, count in exports.Exports.families(names))


# ---- what is not ----


def _refused() -> Iterator[str]:
    yield "Refused, with an error, never with success and nothing done; what CUDA refused is in the ledger:"
    for name, error in LIBRARIES.items():
        found = exports.read(library_directory() / name)
        text = f"{error} from every other function: {_families(found.refused)}"
        yield from _items([(name, text)], indent="  ")
    yield from _items(REFUSALS, indent="  ")
    yield ""
    yield "Out of reach, because these never come to the simulated driver:"
    yield from _items(OUT_OF_REACH, indent="  ")
