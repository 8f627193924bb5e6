"""How fast the simulated driver is, beside other stand-ins for NVML.

    python benchmarks/driver_speed.py
    python benchmarks/driver_speed.py --peer FakeGPU=/path/to/libnvidia-ml.so.1 --peer-env FAKEGPU_DEVICE_COUNT=8

With 8 devices, and 100 living processes that hold memory of them: loading NVML with nvmlInit, cuInit, the two calls
that monitors make most, nvidia-smi, and one ledger record beside one write(2) of as many bytes. Times are the fastest
seen, for other programs on the machine only ever make one slower. Peers are built by whoever runs this; nothing of them
is here.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.simulator import Machine, library_directory

ROOT = Path(__file__).resolve().parent.parent
NATIVE = ROOT / "pytest_gpuvisibility" / "native"
STARTS = 30
CALLS = 100_000
RECORDS = 100


def compile_program(directory: Path) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        sys.exit("no C compiler: apt install gcc")
    program = directory / "driver_speed"
    sources = [str(ROOT / "benchmarks" / "driver_speed.c"), *map(str, sorted((NATIVE / "core").glob("*.c")))]
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-pthread", f"-I{NATIVE}"]
    subprocess.run([compiler, *flags, *sources, "-o", str(program), "-ldl"], check=True)
    return program


@contextmanager
def holders(program: Path, count: int, environ: Mapping[str, str]) -> Iterator[None]:
    """So many living processes, each with a context and memory."""
    cuda = str(library_directory() / "libcuda.so.1")
    with ExitStack() as stack:
        started = []
        for i in range(count):
            command = [str(program), "hold", cuda, str(i % 8)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            started.append(stack.enter_context(subprocess.Popen(command, env=environ, text=True, **pipes)))
        for process in started:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                sys.exit("a process could not hold memory")
        yield
        for process in started:
            process.kill()


def measure(program: Path, what: str, library: Path, environ: Mapping[str, str], rounds: int = 1) -> list[float]:
    command = [str(program), what, str(library), str(rounds)]
    run = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    # A peer may print a report of its own when the program ends.
    return [float(number) for number in run.stdout.partition("\n")[0].split()]


def nvml_times(program: Path, library: Path, environ: Mapping[str, str]) -> dict[str, float]:
    """Nanoseconds of each measure."""
    return {
        "loading and nvmlInit": min(measure(program, "load", library, environ)[0] for _ in range(STARTS)),
        "nvmlDeviceGetMemoryInfo": measure(program, "memory", library, environ, CALLS)[0],
        "nvmlDeviceGetUUID": measure(program, "uuid", library, environ, CALLS)[0],
    }


def program_time(command: list[str], environ: Mapping[str, str]) -> float:
    """Nanoseconds of CPU time that a program takes from its start to its end."""
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1e9


def in_words(nanoseconds: float) -> str:
    if nanoseconds < 1000:
        return f"{nanoseconds:.0f} ns"
    if nanoseconds < 100_000:
        return f"{nanoseconds / 1000:.2f} µs"
    return f"{nanoseconds / 1e6:.3f} ms" if nanoseconds < 1_000_000 else f"{nanoseconds / 1e6:.1f} ms"


def measure_ours(program: Path, processes: int) -> dict[str, float]:
    with Machine.create(Inventory.load("a100x8")) as machine:
        environ = machine.environ(os.environ)
        with holders(program, processes, environ):
            ours = nvml_times(program, library_directory() / "libnvidia-ml.so.1", environ)
            cuda = library_directory() / "libcuda.so.1"
            ours["cuInit"] = min(measure(program, "cuinit", cuda, environ)[0] for _ in range(STARTS))
            record, write, size = measure(program, "record", cuda, environ, RECORDS)
            ours["nvidia-smi -L, CPU time"] = min(program_time(["nvidia-smi", "-L"], environ) for _ in range(STARTS))
    ours["one ledger record"] = record
    ours[f"one write(2) of {size:.0f} bytes"] = write
    return ours


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=100, help="living processes (default: %(default)s)")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=LIBRARY", help="another libnvidia-ml.so.1")
    parser.add_argument("--peer-env", action="append", default=[], metavar="NAME=VALUE", help="for peers' processes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        program = compile_program(Path(directory))
        ours = measure_ours(program, options.processes)
        peers = {}
        for peer in options.peer:
            name, _, library = peer.partition("=")
            environ = {**os.environ, **dict(setting.split("=", 1) for setting in options.peer_env)}
            peers[name] = nvml_times(program, Path(library).resolve(), environ)
    print(f"8 devices, {options.processes} living processes; {platform.platform()}, {os.cpu_count()} CPUs\n")
    for what, taken in ours.items():
        others = [f"{name} {in_words(of[what])} ({of[what] / taken:.1f}x)" for name, of in peers.items() if what in of]
        print(f"{what:28} {in_words(taken):>10}   {'   '.join(others)}".rstrip())
    write = next(taken for what, taken in ours.items() if what.startswith("one write"))
    print(f"\none ledger record takes {ours['one ledger record'] / write:.1f} times as long as the write alone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
