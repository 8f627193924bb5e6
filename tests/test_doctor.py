"""`gpu-visibility doctor` says what is here, what is simulated, what is refused, and why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from simulated_programs import ask, run

from pytest_gpuvisibility import Inventory, doctor
from pytest_gpuvisibility.cli import main
from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.simulator import Machine, exports, library_directory, native


def said() -> str:
    """The report as one line, however it is wrapped."""
    lines, _ = doctor.report()
    return " ".join(" ".join(lines).split())


def test_it_says_what_is_simulated_and_what_is_not_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= doctor.WIDTH
    text = " ".join(" ".join(lines).split())
    assert "works: of the 2 devices of a100x2, CUDA shows 2 and nvidia-smi 2" in text
    assert "contains libcudart instead of loading it: nvcc's default (-cudart static), cupy" in text
    assert "Programs that load libcudart.so.12 or .13 get ours." in text
    assert "cudaErrorNotSupported from every other function: cudaGraph" in text
    assert "asks cuGetExportTable for tables of functions that only NVIDIA knows" in text
    assert "CUDA_ERROR_NOT_SUPPORTED from every other function: cuGraph" in text


def test_it_names_what_would_be_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere:{tmp_path}")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "libcuda.so.1").touch()
    (tmp_path / "nvidia-smi").touch(mode=0o755)
    text = said()
    assert "CUDA_VISIBLE_DEVICES '2,3'" in text
    assert f"libcuda.so.1 {tmp_path}/libcuda.so.1 (hidden from programs on a simulated machine)" in text
    assert f"nvidia-smi {tmp_path}/nvidia-smi (hidden from programs on a simulated machine)" in text


def test_within_a_simulated_machine_it_says_so() -> None:
    with Machine.create(Inventory.load("a100x1")) as machine:
        ended = run(machine, sys.executable, "-m", "pytest_gpuvisibility", "doctor")
    text = " ".join(ended.stdout.split())
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"Already simulated this process is on the machine in {machine.directory}" in text
    assert f"Real GPUs NVIDIA A100-SXM4-80GB {machine.inventory.devices[0].uuid}" in text
    assert f"nvidia-smi {machine.directory}/bin/nvidia-smi" in text


@pytest.fixture
def no_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise native.NativeLibraryMissing("The simulated driver is for Linux.")

    monkeypatch.setattr("pytest_gpuvisibility.simulator.machine.library_directory", missing)


@pytest.mark.usefixtures("no_libraries")
def test_where_it_cannot_work_it_says_why_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 1
    assert "does not work here: The simulated driver is for Linux." in capsys.readouterr().out


# ---- the lists are those of the libraries as built ----


def base(name: str) -> str:
    """Without the suffixes of versions: "cudaMemAdvise_v2@@libcudart.so.12" is "cudaMemAdvise"."""
    return name.split("@")[0].removeprefix("__").split("_")[0]


@pytest.mark.parametrize("library", doctor.LIBRARIES)
def test_no_function_is_left_out(library: str) -> None:
    if not shutil.which("nm"):
        pytest.skip("needs nm of binutils, to list what the library exports")
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", library_directory() / library], capture_output=True, text=True, check=True
    )
    found_by_nm = (line.split() for line in listed.stdout.splitlines())
    names = {base(name) for _, kind, name in found_by_nm if kind != "A" and not name.startswith("gv_")}
    found = exports.read(library_directory() / library)
    assert {base(name) for name in found.answered + found.refused} == names
    assert not set(found.answered) & set(found.refused)


def test_what_is_called_refused_is_refused() -> None:
    found = exports.read(library_directory() / "libcuda.so.1")
    code = """
import ctypes, json, sys
cuda, nothing = ctypes.CDLL("libcuda.so.1"), [ctypes.c_void_p()] * 8
assert cuda.cuInit(0) == 0
print(json.dumps({name: cuda[name](*nothing) for name in sys.argv[1:]}))
"""
    with Machine.create(Inventory.load("a100x1")) as machine:
        results = ask(machine, code, *found.refused)
    assert {"cuGetExportTable", "cuGraphCreate"} <= set(results)
    assert set(results.values()) == {801}
    assert {"cuInit", "cuMemAlloc", "cuCtxCreate", "cuLaunchKernel"} <= set(found.answered)


def test_what_is_no_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_bytes(b"#!/bin/sh\n")
    with pytest.raises(UserError, match="is not a library for this system"):
        exports.read(tmp_path / "libcuda.so.1")
