"""The CUDA runtime and the driver below it, built under sanitizers, used by several threads at once."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cuda_runtimes import releases
from places import PROGRAMS, ROOT

from pytest_gpuvisibility.simulator import Machine

ROUNDS, THREADS, KERNELS = 60, 4, 50


def build(directory: Path, sanitizers: str) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or shutil.which("cmake") is None:
        pytest.skip("needs a C compiler and cmake")
    flags = [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-g", "-O1", "-fno-omit-frame-pointer"]
    configure = ["cmake", "-S", str(ROOT), "-B", str(directory), f"-DPython3_EXECUTABLE={sys.executable}"]
    configure += [f"-DCMAKE_C_FLAGS={' '.join(flags)}", "-DGPU_VISIBILITY_DEVELOPER=ON"]
    make = ["cmake", "--build", str(directory), "--target", "cuda", "cudart-13"]
    program, release = directory / "threads", releases(directory)[13]
    includes = [f"-I{include}" for include in release.includes]
    link = [str(directory / "libcudart.so.13"), f"-L{directory}", "-l:libcuda.so.1", "-pthread"]
    source = str(PROGRAMS / "c" / "cudart_threads.c")
    for command in (configure, make, [compiler, *flags, *includes, "-o", str(program), source, *link]):
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if "cannot find" in made.stderr and "san" in made.stderr:
            pytest.skip("the compiler has no sanitizer libraries")
        assert made.returncode == 0, made.stdout + made.stderr
    return program


@pytest.mark.parametrize("sanitizers", ["thread", "address,undefined"])
def test_threads_share_the_runtime(make_machine: Callable[..., Machine], tmp_path: Path, sanitizers: str) -> None:
    program = build(tmp_path, sanitizers)
    machine = make_machine(kernel_launches="noop")
    environ = {
        "PATH": os.environ["PATH"],
        "GPU_VISIBILITY_MACHINE": str(machine.directory),
        "LD_LIBRARY_PATH": str(tmp_path),
    }
    command = [str(program), str(ROUNDS), str(THREADS)]
    if sanitizers == "thread" and shutil.which("setarch"):
        command = ["setarch", platform.machine(), "-R", *command]  # where addresses are too random for it
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert machine.kernel_launches() == (ROUNDS * THREADS * KERNELS, 0)
    assert machine.snapshot()["processes"] == []
