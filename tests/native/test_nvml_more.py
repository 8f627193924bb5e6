"""The simulated libnvidia-ml.so.1, continued: MIG instances, events, fields, clocks, and GPUs that fall sick."""

from __future__ import annotations

import ctypes
import json
import subprocess
from typing import Any

import pynvml
import pytest
from simulated_programs import CONTEXT, MEBIBYTE, ask, ask_around, environ, holding, on, python

from pytest_gpuvisibility.simulator import Machine
from pytest_gpuvisibility.simulator.smi import nvml as smi


def error(name: str) -> str:
    return f"error {getattr(pynvml, f'NVML_ERROR_{name}')}"


# ---- MIG ----


@on("mig")
def test_gpu_instances_and_compute_instances_are_those_of_the_inventory(machine: Machine) -> None:
    answer = ask(machine, "nvml/instances.py")
    slices = machine.inventory.devices[1].mig
    assert answer == {
        "profile": [9, 3, 42],
        "found": [[slice_.gpu_instance, 9, 4, 1, slice_.compute_instance, 3, 3] for slice_ in slices],
        "left": [0, 0],
        "by id": error("NOT_FOUND"),
        "on a whole GPU": error("NOT_SUPPORTED"),
        "no such profile": error("INVALID_ARGUMENT"),
    }


# ---- events ----


def test_a_program_waits_for_events_until_its_time_is_up(machine: Machine) -> None:
    assert ask(machine, "nvml/events.py") == {
        "types": pynvml.nvmlEventTypeXidCriticalError,
        "register": None,
        "unknown": error("NOT_SUPPORTED"),
        "no set": error("INVALID_ARGUMENT"),
        "wait": error("TIMEOUT"),
        "free": None,
        "freed": error("INVALID_ARGUMENT"),
    }


def test_a_gpu_that_is_lost_ends_the_wait_once(machine: Machine) -> None:
    with subprocess.Popen(python("nvml/waits.py"), env=environ(machine), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        machine.set_faults(2, ["lost"])
        assert json.loads(process.stdout.read()) == [pynvml.nvmlEventTypeXidCriticalError, 79, error("TIMEOUT")]


# ---- readings ----


@on("mixed4")
def test_each_field_says_for_itself_whether_it_was_read(machine: Machine) -> None:
    no = pynvml.NVML_ERROR_NOT_SUPPORTED
    consumer, a100, l40s = [0, no, 0, no, no, no], [0, 0, 0, 0, no, no], [0, no, 0, 0, no, no]
    assert ask(machine, "nvml/fields.py") == [consumer, consumer, a100, l40s]


@on("mixed4")
def test_monitors_read_clocks_pages_and_counters(machine: Machine) -> None:
    no = error("NOT_SUPPORTED")
    always = {
        "memory clocks": True,
        "graphics clocks": True,
        "no such clock": error("NOT_FOUND"),
        "retired": no,
        "nvlink": no,
        "limits": True,
        "violation": 0,
        "utilization": error("NOT_FOUND"),
        "board": True,
        "near": 3,
    }
    consumer = {**always, "remapped": no, "ecc": no}
    data_centre = {**always, "remapped": [0, 0, 0, 0], "ecc": 0}
    expected = [consumer, consumer, data_centre, data_centre]
    assert ask(machine, "nvml/monitored.py") == [
        {**one, "same board": int(index == 0)} for index, one in enumerate(expected)
    ]


# ---- sick GPUs ----


def test_a_sick_gpu_answers_no_function_for_a_handle_taken_before(machine: Machine) -> None:
    """Which of them answer is compared before and after the GPU falls sick."""
    from pytest_gpuvisibility.simulator import library_directory

    library = str(library_directory() / "libnvidia-ml.so.1")

    def codes(*faults: str) -> dict[str, int]:
        answer: dict[str, int] = ask_around(
            machine, "nvml/every_function.py", library, event=lambda: machine.set_faults(2, list(faults))
        )
        machine.set_faults(2, [])
        return answer

    healthy, lost = codes(), codes("lost")
    answered = {name for name, code in healthy.items() if code != pynvml.NVML_ERROR_NOT_SUPPORTED}
    assert len(answered) > 100
    assert {name: lost[name] for name in answered if lost[name] != pynvml.NVML_ERROR_GPU_IS_LOST} == {}


# ---- memory, of which totals are kept for some milliseconds ----


def test_a_reader_sees_at_once_what_is_taken_and_soon_who_was_killed(machine: Machine) -> None:
    with subprocess.Popen(
        python("nvml/memory_watched.py"), env=environ(machine), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdin
        assert reader.stdout

        def ask_reader(what: str) -> float:
            assert reader.stdin
            assert reader.stdout
            print(what, file=reader.stdin, flush=True)
            return float(reader.stdout.readline())

        assert ask_reader("look") == 0
        with holding(machine, 0, 64) as first:
            assert ask_reader("look") == (CONTEXT + 64) * MEBIBYTE
            with holding(machine, 0, 32) as second:
                assert ask_reader("look") == (2 * CONTEXT + 96) * MEBIBYTE
                for process in (first, second):
                    process.kill()
                    process.wait()
                assert ask_reader("wait") < 1


# ---- the binary interface ----


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (smi.Memory, pynvml.c_nvmlMemory_v2_t),
        (smi.Bar1, pynvml.c_nvmlBAR1Memory_t),
        (smi.Pci, pynvml.nvmlPciInfo_t),
        (smi.PciExt, pynvml.nvmlPciInfoExt_v1_t),
        (smi.Utilization, pynvml.c_nvmlUtilization_t),
        (smi.Process, pynvml.c_nvmlProcessInfo_v3_t),
        (smi.Attributes, pynvml.c_nvmlDeviceAttributes),
        (smi.Remapping, pynvml.c_nvmlRowRemapperHistogramValues),
        (smi.Margin, pynvml.c_nvmlMarginTemperature_v1_t),
        (smi.Platform, pynvml.c_nvmlPlatformInfo_v2_t),
        (smi.FieldValue, pynvml.c_nvmlFieldValue_t),
        (smi.Fabric, pynvml.c_nvmlGpuFabricInfo_v3_t),
    ],
)
def test_structures_of_nvidia_smi_are_laid_out_as_nvidias(ours: Any, theirs: Any) -> None:
    assert ctypes.sizeof(ours) == ctypes.sizeof(theirs)
    places = [getattr(ours, name).offset for name, *_ in ours._fields_]
    assert places == [getattr(theirs, name).offset for name, *_ in theirs._fields_]
