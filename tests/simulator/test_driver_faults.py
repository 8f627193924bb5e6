"""What programs are told on a machine whose driver, rather than a GPU, has a fault."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from places import DOCS
from simulated_programs import ask, environ, run

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.inventory import FAULTS, MACHINE_FAULTS
from pytest_gpuvisibility.simulator import Machine, library_directory

DOCUMENT = DOCS / "inventories.md"
DEVICE = """
[[device]]
uuid = "GPU-5f1ce952-d417-4541-a323-cf2f078b0ef9"
pci_bus_id = "00000000:07:00.0"
name = "NVIDIA A100-SXM4-80GB"
memory_mib = 81920
compute_capability = "8.0"
multiprocessors = 108
"""


@dataclass(frozen=True)
class Expected:
    """What nvmlInit and cuInit return, whether NVML can be loaded, and what nvidia-smi says."""

    nvml: int
    cuda: int
    smi_code: int
    smi_text: str
    loads: bool = True


EXPECTED = {
    "driver-not-loaded": Expected(
        nvml=9,
        cuda=100,
        smi_code=9,
        smi_text="NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the"
        " latest NVIDIA driver is installed and running.\n",
    ),
    "nvml-missing": Expected(
        nvml=12,
        cuda=0,
        smi_code=12,
        smi_text="NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please make sure that the NVIDIA"
        " Display Driver is properly installed and present in your system.\nPlease also try adding directory that"
        " contains libnvidia-ml.so to your system PATH.\n",
        loads=False,
    ),
    "nvml-no-permission": Expected(
        nvml=4, cuda=0, smi_code=4, smi_text="Failed to initialize NVML: Insufficient Permissions\n"
    ),
}


@pytest.fixture(params=MACHINE_FAULTS)
def fault(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def machine(fault: str, tmp_path: Path) -> Iterator[Machine]:
    file = tmp_path / "faulty.toml"
    file.write_text(f'name = "faulty"\nfaults = ["{fault}"]\n{DEVICE}')
    with Machine.create(Inventory.load(file)) as machine:
        yield machine


def test_programs_are_told_what_is_wrong(machine: Machine, fault: str) -> None:
    expected = EXPECTED[fault]
    nvml, refusal, cuda = ask(machine, "nvml/which_driver.py")
    assert (nvml, cuda) == (expected.nvml, expected.cuda)
    if expected.loads:
        assert refusal is None
    else:
        assert refusal.startswith("libnvidia-ml.so.1")
        assert refusal.endswith("cannot open shared object file: No such file or directory")


@pytest.mark.parametrize("arguments", [[], ["-L"], ["-q"], ["--query-gpu=index", "--format=csv"]])
def test_nvidia_smi_says_what_the_real_one_says(machine: Machine, fault: str, arguments: list[str]) -> None:
    result = run(machine, "nvidia-smi", *arguments)
    expected = EXPECTED[fault]
    assert (result.returncode, result.stdout, result.stderr) == (expected.smi_code, expected.smi_text, "")


def test_the_ledger_has_what_cuda_answered(machine: Machine, fault: str) -> None:
    ask(machine, "nvml/which_driver.py")
    (record,) = machine.ledger.records()
    assert (record.event, record.result) == ("init", EXPECTED[fault].cuda)
    assert len(record.visible) == (EXPECTED[fault].cuda == 0)


def test_no_nvml_of_the_real_machine_is_found_where_it_is_missing(tmp_path: Path) -> None:
    """An nvidia-ml further back on the path, as of a runner that has GPUs, does not stand in."""
    file = tmp_path / "faulty.toml"
    file.write_text(f'name = "faulty"\nfaults = ["nvml-missing"]\n{DEVICE}')
    outer = {**os.environ, "LD_LIBRARY_PATH": str(library_directory())}
    with Machine.create(Inventory.load(file)) as machine, Machine.create(Inventory.load("a100x1")) as healthy:
        inside = machine.environ(outer)
        code = 'import ctypes; ctypes.CDLL("libnvidia-ml.so.1")'
        found = subprocess.run([sys.executable, "-c", code], env=inside, capture_output=True, text=True, check=False)
        assert "is not on this simulated machine" in found.stderr
        # A machine that has NVML, further in, has it again.
        subprocess.run([sys.executable, "-c", code], env=healthy.environ(inside), check=True)


def test_as_the_real_machine_such_a_one_is_refused_in_words(machine: Machine, fault: str) -> None:
    code = "from pytest_gpuvisibility import Inventory; Inventory.from_nvml()"
    result = subprocess.run(
        [sys.executable, "-c", code], env=environ(machine), capture_output=True, text=True, check=False
    )
    why = {9: "Driver Not Loaded", 12: "NVML Shared Library Not Found", 4: "Insufficient Permissions"}
    last = result.stderr.splitlines()[-1]
    assert f"No NVIDIA driver answers on this machine ({why[EXPECTED[fault].nvml]})" in last


def test_the_test_process_itself_is_told_the_same(pytester: pytest.Pytester, machine: Machine, fault: str) -> None:
    expected = EXPECTED[fault]
    pytester.makepyfile(
        f"""
        import ctypes, subprocess, pynvml, pytest

        def test_here_and_in_a_child(gpu_inventory):
            assert gpu_inventory.faults == {{{fault!r}}}
            with pytest.raises(pynvml.NVMLError) as caught:
                pynvml.nvmlInit()
            assert caught.value.value == {expected.nvml}
            assert ctypes.CDLL("libcuda.so.1").cuInit(0) == {expected.cuda}
            assert subprocess.run(["nvidia-smi"], stdout=subprocess.DEVNULL).returncode == {expected.smi_code}
        """
    )
    file = pytester.makefile(".toml", faulty=f'name = "faulty"\nfaults = ["{fault}"]\n{DEVICE}')
    pytester.runpytest_subprocess(f"--gpu-inventory={file}").assert_outcomes(passed=1)


def test_every_fault_is_documented_for_authors_of_inventories() -> None:
    rows = re.findall(r'^\| `"([a-z-]+)"` ', DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted([*FAULTS, *MACHINE_FAULTS])


def test_the_documented_inventory_can_be_used(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    file = tmp_path / "example.toml"
    file.write_text(example)
    with Machine.create(Inventory.load(file)) as machine:
        assert run(machine, "nvidia-smi", "-i", "0", "-L").returncode == 0
