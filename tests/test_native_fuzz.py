from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_gpuvisibility.simulator.ledger import Ledger

HERE = Path(__file__).parent
NATIVE = HERE.parent / "pytest_gpuvisibility" / "native"
SOURCES = ("state.c", "mask.c", "ledger.c", "text.c", "python_api.c")
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="module")
def fuzz_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = tmp_path_factory.mktemp("fuzz") / "native_fuzz"
    options = [
        "-std=c11",
        "-D_GNU_SOURCE",
        "-g",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pthread",
        f"-I{NATIVE}",
    ]
    sources = [str(HERE / "native_fuzz.c"), *(str(NATIVE / name) for name in SOURCES)]
    run = subprocess.run(
        [compiler, *options, *SANITIZERS, *sources, "-o", str(program)], capture_output=True, text=True
    )
    if "cannot find" in run.stderr and "san" in run.stderr:
        pytest.skip("the compiler has no sanitizer libraries")
    assert run.returncode == 0, run.stderr
    return program


def test_masks_state_and_ledger_survive_random_input_and_sudden_death(fuzz_program: Path, tmp_path: Path) -> None:
    run = subprocess.run([str(fuzz_program), str(tmp_path), "20000"], capture_output=True, text=True, timeout=300)
    assert (run.returncode, run.stderr) == (0, "")
    # The killed children's slots were used again: there was never more than one child.
    assert int(run.stdout.split()[0]) <= 2
    lines = (tmp_path / "ledger.jsonl").read_bytes().splitlines()
    assert all(json.loads(line)["event"] == "init" for line in lines)
    assert len(Ledger(tmp_path / "ledger.jsonl").records()) == len(lines) == 200
