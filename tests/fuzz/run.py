"""Fuzz the reader of masks, or everything that reads a machine's state, with libFuzzer.

    python tests/fuzz/run.py mask --seconds 600
    python tests/fuzz/run.py state --seconds 600

Needs clang with its libFuzzer, and for `state` NVIDIA's headers (pip install nvidia-nvml-dev nvidia-cuda-runtime
nvidia-cuda-crt). Exits 0 where nothing was found; an input that crashes or hangs is left in the current directory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parent.parent / "pytest_gpuvisibility" / "native"
MACHINE = [*sorted((NATIVE / "core").glob("*.c")), NATIVE / "tools" / "python_api.c"]
FLAGS = [
    *("-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-pthread", "-fno-strict-aliasing", "-w", f"-I{NATIVE}", f"-I{HERE}"),
    *("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined"),
    # Nearly every input damages the lock: to wait for its holder is nearly all that the fuzzer would do.
    *("-DLOOK_AGAIN=1000", "-DLONGEST_HOLD=10000"),
]
MEMORY = "/dev/shm"
STUBS = {
    "cuda_stubs.c": ("cuda", "cuda.h"),
    "cuda_addresses.c": ("cuda-addresses", "cuda.h"),
    "cuda_errors.c": ("cuda-errors", "cuda.h"),
    "nvml_stubs.c": ("nvml", "nvml.h"),
}


def header_directory() -> Path:
    """Where pip has put NVIDIA's headers."""
    import nvidia

    for root in nvidia.__path__:
        if (Path(root) / "cu13" / "include" / "cudaTypedefs.h").is_file():
            return Path(root) / "cu13" / "include"
    sys.exit("NVIDIA's headers are not installed: pip install nvidia-nvml-dev nvidia-cuda-runtime nvidia-cuda-crt")


def library_sources(headers: Path, directory: Path) -> list[str]:
    """The simulated CUDA and NVML with their generated parts."""
    for output, (interface, header) in STUBS.items():
        generate = [sys.executable, str(NATIVE / "tools" / "generate_stubs.py"), interface, "--compiler", "clang"]
        subprocess.run([*generate, "--header", str(headers / header), "--output", str(directory / output)], check=True)
    ours = [path for folder in ("cuda", "nvml") for path in sorted((NATIVE / folder).glob("*.c"))]
    return [*map(str, ours), *(str(directory / output) for output in STUBS)]


def build(target: str, directory: Path) -> Path:
    """The fuzzer of "mask" or "state", built in the directory."""
    program = directory / f"fuzz_{target}"
    command = ["clang", *FLAGS, str(HERE / f"fuzz_{target}.c"), *map(str, MACHINE)]
    if target == "state":
        headers = header_directory()
        command += [f"-isystem{headers}", *library_sources(headers, directory)]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=("mask", "state"))
    parser.add_argument("--seconds", type=int, default=600, help="how long to fuzz (default: %(default)s)")
    options = parser.parse_args()
    if shutil.which("clang") is None:
        sys.exit("clang is not installed; on Debian and Ubuntu: apt install clang")
    with tempfile.TemporaryDirectory() as directory:
        program = build(options.target, Path(directory))
        corpus = Path(directory) / "corpus"
        corpus.mkdir()
        limits = [f"-max_total_time={options.seconds}", "-timeout=10", "-print_final_stats=1"]
        extra = [f"-dict={HERE / 'mask.dict'}", "-max_len=512"] if options.target == "mask" else ["-max_len=256"]
        # Long inputs, which reach more than one field, from the beginning.
        extra.append("-len_control=0")
        # A machine that a program was on is kept for good, so that no thread can lose it: leaks are no finding.
        environ = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
        if os.path.isdir(MEMORY):  # each input writes a file of 9 MB anew
            environ["TMPDIR"] = MEMORY
        command = [str(program), *limits, *extra, str(corpus)]
        return subprocess.run(command, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
