"""An unmodified CUDA build of PyTorch on simulated machines: `tox run -e torch-cuda`.

Each program is a process of its own, started as a user would, and says as JSON what torch told it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cuda_programs import CONTEXT_OVERHEAD, uuids
from places import program
from simulated_programs import python

from pytest_gpuvisibility import Inventory, resolve
from pytest_gpuvisibility.inventory import AnyDevice, MigDevice
from pytest_gpuvisibility.simulator import Machine

pytestmark = [pytest.mark.torch_cuda, pytest.mark.timeout(300)]

MIB, GIB = 1 << 20, 1 << 30
MASKS = {"unset": None, "1,0": "1,0", "empty": "", "0,-1,1": "0,-1,1", "UUID": "{2}"}


def client(code: str) -> list[str]:
    """The command of one of programs/pytorch, or of a few lines."""
    return python(code, lines="pytorch/lines.py")


def run(
    machine: Machine, *command: str, room: Path | None = None, **variables: str | None
) -> subprocess.CompletedProcess[str]:
    environ = machine.environ(os.environ) | {name: value for name, value in variables.items() if value is not None}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=240, check=False, cwd=room)


def shown(machine: Machine, code: str, **variables: str | None) -> list[Any]:
    ended = run(machine, *client(code), **variables)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def mask_of(name: str, machine: Machine) -> str | None:
    mask = MASKS[name]
    return mask and mask.format(*uuids(machine, *range(len(machine.inventory.devices))))


def test_this_is_a_cuda_build() -> None:
    import torch

    assert torch.version.cuda is not None


# ---- what torch is shown ----


def facts(device: AnyDevice, inventory: Inventory) -> dict[str, Any]:
    gpu = inventory.by_uuid(device.parent_uuid) if isinstance(device, MigDevice) else device
    assert not isinstance(gpu, MigDevice)
    domain, bus, rest = gpu.pci_bus_id.split(":")
    return {
        "uuid": device.uuid.removeprefix("GPU-"),
        "name": device.name,
        "memory": device.memory,
        "capability": list(gpu.compute_capability),
        "multiprocessors": device.multiprocessors,
        "bus": [int(domain, 16), int(bus, 16), int(rest.split(".")[0], 16)],
    }


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", ["a100x4", "mixed4"])
def test_torch_is_shown_what_the_resolver_says(make_machine: Callable[..., Machine], name: str, mask: str) -> None:
    machine = make_machine(name)
    value = mask_of(mask, machine)
    permitted = resolve(value, machine.inventory).devices
    (available, count), *devices, beyond = shown(machine, "pytorch/devices.py", CUDA_VISIBLE_DEVICES=value)
    assert (available, count) == (bool(permitted), len(permitted))
    assert devices == [facts(device, machine.inventory) for device in permitted]
    assert ("invalid device ordinal" if permitted else "No CUDA GPUs are available") in beyond[1]
    assert {record.touched for record in machine.ledger.records()} <= {None}


def test_a_mask_that_is_set_after_the_import_counts(machine: Machine) -> None:
    script = """
    os.environ["CUDA_VISIBLE_DEVICES"] = "2"
    show([torch.cuda.device_count(), str(torch.cuda.get_device_properties(0).uuid)])
    """
    assert shown(machine, script) == [[1, machine.inventory.devices[2].uuid.removeprefix("GPU-")]]


# ---- what it does there ----


@pytest.mark.parametrize("mask", ["unset", "1,0"])
def test_a_layer_goes_to_the_second_device_and_back_bit_for_bit(machine: Machine, mask: str) -> None:
    value = mask_of(mask, machine)
    assert shown(machine, "pytorch/layer.py", CUDA_VISIBLE_DEVICES=value) == [["cuda:1", "cuda:1"], True, True]
    second, first = resolve(value, machine.inventory).devices[1::-1]
    allocated = [record.uuid for record in machine.ledger.records() if record.event == "alloc"]
    assert list(dict.fromkeys(allocated)) == [second.uuid, first.uuid]


def test_streams_events_and_pinned_memory(machine: Machine) -> None:
    assert shown(machine, "pytorch/streams.py") == [[True] * 4, [CONTEXT_OVERHEAD, True]]


def test_out_of_memory_is_torchs_own_error_with_the_machines_numbers(make_machine: Callable[..., Machine]) -> None:
    machine = make_machine("mixed4")
    script = """
    held = torch.empty(3 << 30, dtype=torch.uint8, device="cuda:0")
    show(error(lambda: torch.empty(90 << 30, dtype=torch.uint8, device="cuda:0")))
    """
    (kind, text), *_ = shown(machine, script, CUDA_VISIBLE_DEVICES="3", CUDA_DEVICE_ORDER="PCI_BUS_ID")
    total = machine.inventory.devices[3].memory
    free = total - CONTEXT_OVERHEAD - 3 * GIB
    assert kind == "OutOfMemoryError"
    assert "Tried to allocate 90.00 GiB." in text
    assert f"GPU 0 has a total capacity of {total / GIB:.2f} GiB of which {free / GIB:.2f} GiB is free" in text


def test_another_programs_gpustat_sees_what_torch_holds(machine: Machine) -> None:
    script = """
    held = torch.empty(256 << 20, dtype=torch.uint8, device="cuda:1")
    show("held")
    sys.stdin.read()
    """
    environ = machine.environ(os.environ) | {"CUDA_VISIBLE_DEVICES": "2,0"}
    with subprocess.Popen(
        client(script),
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == '"held"\n'
        seen = run(machine, sys.executable, "-m", "gpustat", "--json", "--show-pid")
        holder.kill()
    assert seen.returncode == 0, seen.stderr
    gpus = json.loads(seen.stdout)["gpus"]
    held = {
        gpu["index"]: [(process["pid"], process["gpu_memory_usage"]) for process in gpu["processes"]] for gpu in gpus
    }
    assert held == {0: [(holder.pid, (CONTEXT_OVERHEAD + 256 * MIB) // MIB)], 1: [], 2: [], 3: []}


# ---- kernels ----


def test_a_kernel_is_an_error_that_leads_to_noop(machine: Machine) -> None:
    (kind, text), again = shown(
        machine,
        """
        show(error(lambda: torch.ones(3, device="cuda:0")))
        show(torch.arange(3.).to("cuda:0").cpu().tolist())
        """,
    )
    assert kind == "AcceleratorError"
    assert "a simulated GPU runs no kernels" in text
    assert "--launch noop" in text
    assert again == [0.0, 1.0, 2.0]  # the device goes on
    assert machine.kernel_launches() == (0, 1)


def test_skipped_kernels_are_counted(make_machine: Callable[..., Machine]) -> None:
    machine = make_machine(kernel_launches="noop")
    script = """
    x = torch.ones(3, device="cuda:1")
    for _ in range(9):
        x = x + 1
    torch.cuda.synchronize()
    show(list(x.shape))
    """
    assert shown(machine, script) == [[3]]
    assert machine.kernel_launches() == (10, 0)
    launched = [record for record in machine.ledger.records() if record.event == "launch"]
    assert {record.uuid for record in launched} == set(uuids(machine, 1))


def test_products_are_skipped_on_the_devices_of_their_operands(make_machine: Callable[..., Machine]) -> None:
    machine = make_machine(kernel_launches="noop")
    shapes, refusal = shown(machine, "pytorch/products.py", CUDA_VISIBLE_DEVICES="3,1")
    assert shapes == [[3, 4], [2, 3, 5], [4, 4]]
    assert "CUBLAS_STATUS_NOT_SUPPORTED" in refusal[1]
    records = machine.ledger.records()
    products = {(r.uuid, r.event) for r in records if r.function and r.function.startswith("cublas") and r.uuid}
    assert products == {(uuid, "launch") for uuid in uuids(machine, 1, 3)}
    assert "cublasGetPointerMode_v2" in {r.function for r in records if r.event == "refused"}


def test_what_is_not_simulated_is_refused_by_name(machine: Machine) -> None:
    script = "show(error(lambda: torch.cuda.graph(torch.cuda.CUDAGraph()).__enter__()))"
    ((kind, text),) = shown(machine, script)
    assert kind == "AcceleratorError"
    assert "operation not supported: a simulated GPU does not offer cudaStreamBeginCapture" in text


# ---- several processes ----


@pytest.mark.parametrize("start", ["spawn", "torchrun"])
def test_workers_are_in_the_ledger_on_their_own_devices(machine: Machine, tmp_path: Path, start: str) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if start == "torchrun" else []
    command = [sys.executable, *torchrun, program("pytorch/workers.py")]
    ended = run(machine, *command, room=tmp_path, CUDA_VISIBLE_DEVICES="3,1")
    assert ended.returncode == 0, ended.stderr
    workers = [line.split() for line in ended.stdout.splitlines()]
    assert sorted(rank for _, rank, same in workers if same == "True") == ["0", "1"]
    touched = {record.pid: record.touched for record in machine.ledger.records() if record.event == "alloc"}
    of_rank = dict(zip("01", uuids(machine, 3, 1), strict=True))
    assert touched == {int(pid): of_rank[rank] for pid, rank, _ in workers}


# ---- in pytest's own process ----


def test_a_test_that_imports_torch_is_on_the_machine_itself(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import torch

        def test_round_trip(gpu_visibility):
            assert torch.cuda.device_count() == len(gpu_visibility.devices) == 2
            assert [f"GPU-{torch.cuda.get_device_properties(i).uuid}" for i in range(2)] == [
                device.uuid for device in gpu_visibility.devices
            ]
            there = torch.arange(1000.).to("cuda:1")
            assert torch.equal(there.cpu(), torch.arange(1000.))
        """
    )
    result = pytester.runpytest_subprocess("--gpu-inventory=a100x4", "--gpu-visibility=3,1")
    result.assert_outcomes(passed=1)
