"""The simulated libnvidia-ml.so.1, seen by programs that know nothing of it: pynvml, gpustat and nvitop."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pynvml
import pytest
from simulated_programs import CONTEXT, MEBIBYTE, ask, ask_around, holding, on, run

from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.simulator import Machine, library_directory

NAMES = ("a100x4", "mixed4", "mig", "sick8", "none")


@pytest.fixture(params=NAMES)
def any_machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    with Machine.create(Inventory.load(request.param)) as machine:
        yield machine


# ---- what is there ----


@pytest.mark.parametrize("mask", [None, "", "1", "1,0", "-1"])
def test_every_gpu_is_there_whatever_the_mask(any_machine: Machine, mask: str | None) -> None:
    extra = {} if mask is None else {"CUDA_VISIBLE_DEVICES": mask}
    assert ask(any_machine, "nvml/identities.py", **extra) == [
        pynvml.NVML_ERROR_UNKNOWN
        if device.faults
        else {
            "index": device.index,
            "uuid": device.uuid,
            "name": device.name,
            "minor": device.minor,
            "memory": device.memory,
            "bus_id": device.pci_bus_id,
            "capability": list(device.compute_capability),
            "used": 0,
        }
        for device in any_machine.inventory.devices
    ]


def test_gpustat_shows_the_machine(any_machine: Machine) -> None:
    result = run(any_machine, sys.executable, "-m", "gpustat", "--json")
    assert result.returncode == 0, result.stderr
    shown = json.loads(result.stdout)["gpus"] if any_machine.inventory.devices else []
    assert [gpu.get("uuid") for gpu in shown] == [
        None if device.faults else device.uuid for device in any_machine.inventory.devices
    ]


def test_nvitop_shows_the_machine(any_machine: Machine) -> None:
    result = run(any_machine, sys.executable, "-m", "nvitop", "--once", COLUMNS="120")
    assert result.returncode == 0, result.stderr
    for device in any_machine.inventory.devices:
        assert (device.pci_bus_id in result.stdout) == (not device.faults)
        for slice_ in device.mig:
            ids = f"{slice_.gpu_instance}/{slice_.compute_instance}"
            assert f"{slice_.profile} @ GI/CI: {ids}" in result.stdout


def test_without_a_machine_the_driver_is_not_loaded(machine: Machine, tmp_path: Path) -> None:
    code = """
import json, pynvml
try:
    pynvml.nvmlInit()
except pynvml.NVMLError as error:
    print(json.dumps(error.value))
"""
    for directory in ("", str(tmp_path), str(tmp_path / "gone")):
        assert ask(machine, code, GPU_VISIBILITY_MACHINE=directory) == pynvml.NVML_ERROR_DRIVER_NOT_LOADED


def test_what_a_product_does_not_have_is_not_supported() -> None:
    with Machine.create(Inventory.load("mixed4")) as machine:
        rtx_4090, rtx_4080, a100, l40s = ask(machine, "nvml/supported.py")
    consumer = {"fan": True, "ecc": False, "mig": False, "serial": False, "nvlink": False}
    assert rtx_4090 == rtx_4080 == consumer
    assert a100 == {"fan": False, "ecc": True, "mig": True, "serial": True, "nvlink": False}
    assert l40s == {"fan": False, "ecc": True, "mig": False, "serial": True, "nvlink": False}


# ---- calling it right and wrong ----


def test_initialisations_are_counted(machine: Machine) -> None:
    uninitialised = pynvml.NVML_ERROR_UNINITIALIZED
    assert ask(machine, "nvml/initialisations.py") == [
        uninitialised,
        uninitialised,
        0,
        0,
        0,
        0,
        0,
        0,
        uninitialised,
        uninitialised,
    ]


@on("mixed4")
def test_a_gpu_is_found_by_every_way_of_writing_it(machine: Machine) -> None:
    uuid = machine.inventory.devices[2].uuid
    invalid, missing = f"error {pynvml.NVML_ERROR_INVALID_ARGUMENT}", f"error {pynvml.NVML_ERROR_NOT_FOUND}"
    found = {uuid: 2, uuid[:-1]: missing, "GPU-": missing, "": missing}
    addresses = {
        "00000000:41:00.0": 2,
        "0000:41:00.0": 2,
        "41:00.0": 2,
        "41:00": 2,
        "0000:61:00.0": 3,
        "0001:41:00.0": missing,
        "00000000:41:00.1": missing,
        "41": invalid,
        "": invalid,
        "0000:41:00.0x": invalid,
    }
    uuids, buses, serials, indices = ask(machine, "nvml/found.py", json.dumps([*found]), json.dumps([*addresses]))
    assert dict(zip(found, uuids, strict=True)) == found
    assert dict(zip(addresses, buses, strict=True)) == addresses
    assert serials == [3, missing]
    assert indices == [0, 3, invalid]


def test_wrong_arguments_are_refused(machine: Machine) -> None:
    invalid, version = pynvml.NVML_ERROR_INVALID_ARGUMENT, pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH
    assert ask(machine, "nvml/wrong_arguments.py") == {
        "no output": invalid,
        "no handle": invalid,
        "not a handle": invalid,
        "small buffer": pynvml.NVML_ERROR_INSUFFICIENT_SIZE,
        "one of two outputs": invalid,
        "no version": version,
        "no version either": version,
        "no such clock": invalid,
        "no such sensor": invalid,
    }


def test_the_oldest_pci_structure_is_not_overrun(machine: Machine) -> None:
    code = """
import ctypes, json, pynvml
pynvml.nvmlInit()
nvml, gpu = ctypes.CDLL("libnvidia-ml.so.1"), pynvml.nvmlDeviceGetHandleByIndex(1)
v1, v2 = ctypes.create_string_buffer(b"?" * 80), ctypes.create_string_buffer(b"?" * 80)
print(json.dumps([nvml.nvmlDeviceGetPciInfo(gpu, v1), v1.value.decode(), v1.raw[32:80].decode(),
                  nvml.nvmlDeviceGetPciInfo_v2(gpu, v2), v2.raw[36:80].decode()]))
"""
    assert ask(machine, code) == [0, "0000:0F:00.0", "?" * 48, 0, "?" * 44]


# ---- every name of nvml.h ----

CALL_EVERYTHING = """
import ctypes, json, sys
nvml = ctypes.CDLL("libnvidia-ml.so.1")
nothing = [ctypes.c_void_p(0)] * 8
if sys.argv[1] == "initialised":
    nvml.nvmlInit_v2()
print(json.dumps({name: nvml[name](*nothing) for name in sys.argv[2:]}))
"""


def symbols() -> list[str]:
    """What the library exports, by its table."""
    if not shutil.which("nm"):
        pytest.skip("needs nm of binutils, to list what the library exports")
    library = library_directory() / "libnvidia-ml.so.1"
    table = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True)
    return [line.split()[2] for line in table.stdout.splitlines()]


def exported() -> list[str]:
    """The functions of the library that are NVML's."""
    return [name for name in symbols() if name.startswith("nvml")]


def test_every_function_that_nvidia_ml_py_looks_up_is_exported() -> None:
    source = Path(pynvml.__file__).read_text(encoding="utf-8")
    wanted = set(re.findall(r'_nvmlGetFunctionPointer\("(nvml\w+)"\)', source))
    assert len(wanted) > 250
    assert not wanted - set(exported())


RENAMED = """
nvmlInit nvmlDeviceGetCount nvmlDeviceGetHandleByIndex nvmlDeviceGetHandleByPciBusId nvmlDeviceGetPciInfo
nvmlDeviceGetPciInfo_v2 nvmlDeviceGetComputeRunningProcesses nvmlDeviceGetComputeRunningProcesses_v2
nvmlDeviceGetComputeRunningProcesses_v3 nvmlDeviceGetGraphicsRunningProcesses nvmlEventSetWait
nvmlDeviceGetAttributes nvmlComputeInstanceGetInfo nvmlDeviceRemoveGpu nvmlDeviceGetDriverModel
nvmlGetBlacklistDeviceCount nvmlGetBlacklistDeviceInfoByIndex
"""


def test_names_that_the_header_renames_away_are_exported_too() -> None:
    assert not set(RENAMED.split()) - set(exported())


def test_nothing_is_exported_but_nvml_and_what_the_plugin_needs() -> None:
    assert set(symbols()) - set(exported()) == {"gv_nvml_follow"}


def test_every_function_refuses_to_be_called_with_nothing(machine: Machine) -> None:
    names = [name for name in exported() if name not in ("nvmlErrorString", "nvmlShutdown")]
    results = ask(machine, CALL_EVERYTHING, "initialised", *names)
    assert {name for name, code in results.items() if code == 0} == {
        "nvmlInit",
        "nvmlInit_v2",
        "nvmlInitWithFlags",
    }
    refused = {pynvml.NVML_ERROR_INVALID_ARGUMENT, pynvml.NVML_ERROR_NOT_SUPPORTED}
    assert set(results.values()) == {0, *refused}


def test_every_function_wants_to_be_initialised_first(machine: Machine) -> None:
    names = [name for name in exported() if name != "nvmlErrorString" and not name.startswith("nvmlInit")]
    results = ask(machine, CALL_EVERYTHING, "not initialised", *names)
    assert set(results.values()) == {pynvml.NVML_ERROR_UNINITIALIZED}


def test_every_error_has_a_text(machine: Machine) -> None:
    code = """
import ctypes, json, pynvml
nvml = ctypes.CDLL("libnvidia-ml.so.1")
nvml.nvmlErrorString.restype = ctypes.c_char_p
codes = [code for name, code in vars(pynvml).items() if name.startswith("NVML_ERROR_")]
print(json.dumps([nvml.nvmlErrorString(code).decode() for code in [0, *codes]]))
"""
    texts = ask(machine, code)
    assert texts[0] == "Success"
    assert {"Not Supported", "Driver Not Loaded", "GPU is lost", "Unknown Error"} <= set(texts)
    assert len(set(texts)) == len(texts)


# ---- sick GPUs ----


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("nvml-unknown", pynvml.NVML_ERROR_UNKNOWN),
        ("nvml-no-permission", pynvml.NVML_ERROR_NO_PERMISSION),
        ("lost", pynvml.NVML_ERROR_GPU_IS_LOST),
    ],
)
def test_a_gpu_that_falls_sick_fails_every_call_and_gives_no_handle(machine: Machine, fault: str, error: int) -> None:
    answer = ask_around(machine, "nvml/fallen_sick.py", event=lambda: machine.set_faults(2, [fault]))
    assert answer == {"held": [error] * 8, "found": [error] * 2, "healthy": [0] * 7, "count": 4}


# ---- MIG ----


@on("mig")
def test_slices_answer_for_themselves(machine: Machine) -> None:
    missing, unsupported = pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_NOT_SUPPORTED
    parent = machine.inventory.devices[1]
    assert ask(machine, "nvml/slices.py") == {
        "modes": [[0, 0], [1, 1]],
        "most": [0, 7],
        "whole": [0, missing, unsupported, unsupported],
        "slices": [
            {
                "name": slice_.name,
                "uuid": slice_.uuid,
                "index": index,
                "memory": slice_.memory,
                "multiprocessors": slice_.multiprocessors,
                "instances": [slice_.gpu_instance, slice_.compute_instance],
                "parent": parent.uuid,
                "is a slice": 1,
                "by uuid": index,
                "temperature": unsupported,
            }
            for index, slice_ in enumerate(parent.mig)
        ],
        "no third": missing,
        "utilization": unsupported,
    }


# ---- who holds what ----


def test_a_process_is_listed_with_its_memory_until_it_dies(machine: Machine) -> None:
    size = pynvml.NVML_ERROR_INSUFFICIENT_SIZE
    total = machine.inventory.devices[2].memory
    with holding(machine, 1, 256, CUDA_VISIBLE_DEVICES="3,2") as process:
        held = [[process.pid, (CONTEXT + 256) * MEBIBYTE]]
        gpus = ask(machine, "nvml/processes.py")
        assert gpus[2] == {
            "v1": [0, 1, held],
            "v1, no room": [size, 1, []],
            "v2": held,
            "v3": held,
            "graphics": 0,
            "used": held[0][1],
            "free": total - gpus[2]["used or reserved"],
            "used or reserved": gpus[2]["used or reserved"],
            "names": [sys.executable],
        }
        assert gpus[0]["v3"] == gpus[1]["v3"] == gpus[3]["v3"] == []
        assert gpus[0]["v1, no room"] == [0, 0, []]
        process.kill()
        process.wait()
        gpus = ask(machine, "nvml/processes.py")
        assert [gpu["v3"] for gpu in gpus] == [[], [], [], []]
        assert [gpu["used"] for gpu in gpus] == [0, 0, 0, 0]


def test_gpustat_shows_who_holds_memory_until_it_dies(machine: Machine) -> None:
    def shown() -> list[list[tuple[int, int]]]:
        result = run(machine, sys.executable, "-m", "gpustat", "--json")
        assert result.returncode == 0, result.stderr
        return [
            [(process["pid"], process["gpu_memory_usage"]) for process in gpu["processes"]]
            for gpu in json.loads(result.stdout)["gpus"]
        ]

    with holding(machine, 0, 64, CUDA_VISIBLE_DEVICES="1") as process:
        assert shown() == [[], [(process.pid, CONTEXT + 64)], [], []]
        process.kill()
        process.wait()
        assert shown() == [[], [], [], []]


def test_nvitop_shows_who_holds_memory(machine: Machine) -> None:
    with holding(machine, 3, 64) as process:
        result = run(machine, sys.executable, "-m", "nvitop", "--once", COLUMNS="120")
        assert result.returncode == 0, result.stderr
        rows = [line.split() for line in result.stdout.splitlines() if str(process.pid) in line]
        assert [(row[1], row[2]) for row in rows] == [("3", str(process.pid))]
        assert f"{CONTEXT + 64}.0MiB" in " ".join(rows[0])


@on("mig")
def test_a_process_on_a_slice_is_listed_by_the_slice_and_by_its_gpu(machine: Machine) -> None:
    second = machine.inventory.devices[1].mig[1]
    with holding(machine, 0, 128, CUDA_VISIBLE_DEVICES=second.uuid) as process:
        bytes_ = (CONTEXT + 128) * MEBIBYTE
        listed = [[[process.pid, bytes_, second.gpu_instance, second.compute_instance]], bytes_]
        assert ask(machine, "nvml/processes_of_slices.py") == [[[], 0], listed, [[], 0], listed]


def test_threads_may_initialise_and_read_at_once(machine: Machine) -> None:
    assert ask(machine, "nvml/threads.py") == []


def test_nothing_is_written_to_stdout_or_stderr(machine: Machine) -> None:
    result = run(machine, sys.executable, "-c", "import pynvml; pynvml.nvmlInit(); pynvml.nvmlShutdown()")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
