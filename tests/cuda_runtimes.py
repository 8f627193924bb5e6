"""The releases of the CUDA runtime that are simulated: where NVIDIA's own headers and library of each lie, and clients
of it.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from simulated_programs import c_compiler, python

from pytest_gpuvisibility.simulator import Machine


@dataclass(frozen=True)
class Release:
    """A release of CUDA. library: NVIDIA's file."""

    major: int
    includes: tuple[Path, ...]
    library: Path

    @property
    def soname(self) -> str:
        return f"libcudart.so.{self.major}"

    def compile(self, source: Path, program: Path) -> None:
        """As nvcc links with -cudart shared: against NVIDIA's library, whose directory goes before any other."""
        includes = [f"-I{directory}" for directory in self.includes]
        here = self.library.parent
        link = [f"-L{here}", f"-l:{self.soname}", "-Wl,--disable-new-dtags", f"-Wl,-rpath,{here}"]
        subprocess.run(
            [c_compiler(), "-Wall", "-Werror", *includes, str(source), "-o", str(program), *link], check=True
        )

    def ask(self, machine: Machine, client: str, *arguments: str, **variables: str) -> list[Any]:
        """What a ctypes client of NVIDIA's file, by its full path, shows: one of programs/cudart, or a few lines."""
        ended = subprocess.run(
            python(client, *arguments, lines="cudart/lines.py"),
            env={**machine.environ(os.environ), **variables, "CUDART": str(self.library)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]


def _files(distribution: str, name: str) -> Path:
    found = importlib.metadata.files(distribution) or ()
    return Path(str(next(file for file in found if file.name == name).locate()))


def releases(room: Path) -> dict[int, Release]:
    """Headers of CUDA 12 need one that is a package of its own in CUDA 13; it is copied into `room`."""
    host_defines = _files("nvidia-cuda-crt", "host_defines.h")
    (room / "crt").mkdir(exist_ok=True)
    shutil.copy(host_defines, room / "crt")
    thirteen = _files("nvidia-cuda-runtime", "cuda_runtime_api.h").parent
    twelve = _files("nvidia-cuda-runtime-cu12", "cuda_runtime_api.h").parent
    return {
        13: Release(13, (thirteen, room), _files("nvidia-cuda-runtime", "libcudart.so.13")),
        12: Release(12, (twelve, room), _files("nvidia-cuda-runtime-cu12", "libcudart.so.12")),
    }


@pytest.fixture(scope="session", params=[13, 12], ids=["cudart-13", "cudart-12"])
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Release:
    return releases(tmp_path_factory.mktemp("headers"))[request.param]
