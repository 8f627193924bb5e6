"""benchmarks/record_machine.py, on simulated machines: what it writes is a record and an inventory of the machine."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pynvml
import pytest
from simulated_programs import ask, run

from pytest_gpuvisibility.inventory import Device, Inventory
from pytest_gpuvisibility.simulator import Machine, exports, library_directory

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "record_machine.py"


def record(machine: Machine, directory: Path, *options: str) -> tuple[Path, Path]:
    files = directory / "record.json", directory / "recorded.toml"
    result = run(machine, sys.executable, str(SCRIPT), *map(str, files), *options)
    assert (result.returncode, result.stderr) == (0, "")
    return files


def known(device: Device) -> Device:
    """What a program learns of a GPU: of its speed the order only; how large it is, if it is cut, by its slices."""
    return replace(device, relative_speed=0.0, multiprocessors=0 if device.mig_enabled else device.multiprocessors)


@pytest.mark.parametrize("name", ["mixed4", "mig"])
def test_a_recorded_machine_is_the_machine(name: str, tmp_path: Path) -> None:
    inventory = Inventory.load(name)
    with Machine.create(inventory) as machine:
        json_file, toml_file = record(machine, tmp_path, "--identify")
    recorded = json.loads(json_file.read_text())
    assert [gpu["gpu"]["nvmlDeviceGetUUID()"] for gpu in recorded["gpus"]] == [d.uuid for d in inventory.devices]
    assert recorded["cuda"][0]["75"] in range(7, 13)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    again = Inventory.load(str(toml_file))
    assert [known(device) for device in again.devices] == [known(device) for device in inventory.devices]
    fastest = [sorted(i.devices, key=lambda device: -device.relative_speed)[0].uuid for i in (again, inventory)]
    assert fastest[0] == fastest[1]


def test_a_machine_made_of_a_record_answers_alike(tmp_path: Path) -> None:
    files = []
    inventory = Inventory.load("sick8")
    for turn in ("first", "second"):
        directory = tmp_path / turn
        directory.mkdir()
        with Machine.create(inventory) as machine:
            files.append(record(machine, directory))
            compared = run(machine, sys.executable, str(SCRIPT), "--compare", str(files[0][0]), str(files[-1][0]))
        assert compared.stdout == "no difference\n"
        inventory = Inventory.load(str(files[-1][1]))
    assert inventory.devices[0].faults == {"nvml-unknown"}


def test_nothing_in_a_record_identifies_the_machine(tmp_path: Path) -> None:
    inventory = Inventory.load("mig")
    with Machine.create(inventory) as machine:
        text = "".join(path.read_text() for path in record(machine, tmp_path))
    for name in re.findall(r'"nvmlDeviceGetPdi\(\)": (.*)', text):
        assert name.rstrip(",") in ("0", "{")  # an error, of a slice
    for device in inventory.devices:
        assert device.uuid not in text
        assert not [slice_ for slice_ in device.mig if slice_.uuid in text]


ASKED = """
import json, sys
sys.path.insert(0, sys.argv[1])
import nvml_readings, pynvml
nvml_readings.read_nvml()
print(json.dumps([sorted(pynvml._nvmlGetFunctionPointer_cache), list(nvml_readings.NOT_RECORDED)]))
"""


@pytest.mark.skipif(
    not hasattr(pynvml, "nvmlDeviceGetAddressingMode"), reason="this nvidia-ml-py is older, and knows fewer functions"
)
def test_every_function_that_is_simulated_is_recorded_or_it_is_said_why_not() -> None:
    """Else nobody with a GPU could tell whether its simulation is right."""
    with Machine.create(Inventory.load("mig")) as machine:
        asked, left_out = ask(machine, ASKED, str(SCRIPT.parent))
    recorded = {re.sub(r"(_v\d+)+$", "", name) for name in asked}
    simulated = set(exports.read(library_directory() / "libnvidia-ml.so.1").answered)
    assert simulated - recorded == set(left_out)
