from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from simulated_programs import python

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.inventory import MACHINE_FAULTS
from pytest_gpuvisibility.simulator import Ledger, Machine, ProbeFailed, native
from pytest_gpuvisibility.simulator.ledger import LedgerDamaged
from pytest_gpuvisibility.simulator.native import NativeLibraryMissing
from pytest_gpuvisibility.simulator.state import MachineError


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine.create(Inventory.load("a100x2")) as machine:
        yield machine


# ---- making, opening, closing ----


@pytest.mark.parametrize("name", Inventory.names())
def test_a_machine_is_what_its_inventory_says(name: str) -> None:
    inventory = Inventory.load(name)
    with Machine.create(inventory) as machine:
        snapshot = machine.snapshot()
        assert Machine.open(machine.directory).inventory == inventory
    assert snapshot["faults"] == []
    assert (snapshot["inventory"], snapshot["driver_version"]) == (inventory.name, inventory.driver_version)
    assert (snapshot["cuda_version"], snapshot["processes"]) == (inventory.cuda_version, [])
    for device, seen in zip(inventory.devices, snapshot["devices"], strict=True):
        for key in ("index", "uuid", "name", "pci_bus_id", "minor", "memory", "compute_mode", "mig_enabled"):
            assert seen[key] == getattr(device, key)
        assert (set(seen["faults"]), seen["used"]) == (set(device.faults), 0)
        assert seen["compute_capability"] == "{}.{}".format(*device.compute_capability)
        for slice_, seen_slice in zip(device.mig, seen["mig"], strict=True):
            for key in (
                "uuid",
                "name",
                "profile",
                "gpu_instance",
                "compute_instance",
                "memory",
                "multiprocessors",
            ):
                assert seen_slice[key] == getattr(slice_, key)


def test_faults_of_the_driver_are_part_of_a_machine() -> None:
    inventory = replace(Inventory.load("a100x1"), faults=frozenset(MACHINE_FAULTS))
    with Machine.create(inventory) as machine:
        assert set(machine.snapshot()["faults"]) == set(MACHINE_FAULTS)
        assert Machine.open(machine.directory).inventory.faults == inventory.faults
    with pytest.raises(MachineError, match="fault 'tired' is not known; faults are driver-not-loaded, nvml-missing"):
        Machine.create(replace(inventory, faults=frozenset({"tired"})))


def test_closing_leaves_nothing(tmp_path: Path) -> None:
    with Machine.create(Inventory.load("a100x2")) as temporary:
        assert temporary.directory.name.startswith("gpu-visibility-")
        temporary.environ(os.environ, nvidia_smi=False)
    given = Machine.create(Inventory.load("a100x2"), tmp_path / "one" / "machine")
    assert given.directory == tmp_path / "one" / "machine"
    given.close()
    given.close()
    assert not temporary.directory.exists()
    assert not given.directory.exists()


def test_what_cannot_be_a_machine_is_explained_and_leaves_nothing(tmp_path: Path) -> None:
    inventory = Inventory.load("a100x2")
    first, *others = inventory.devices
    long_name = replace(inventory, devices=(replace(first, name="x" * 200), *others))
    two_lines = replace(inventory, devices=(replace(first, name="a\nb"), *others))
    for broken, message in [
        (long_name, "names of up to 95 bytes"),
        (two_lines, "line break"),
        (replace(inventory, cuda_version="new"), "not of the form 13.0"),
    ]:
        with pytest.raises(MachineError, match=message):
            Machine.create(broken, tmp_path / "machine")
        assert not (tmp_path / "machine").exists()
    with pytest.raises(MachineError, match="kernel_launches='maybe' is not known; it is one of error, noop"):
        Machine.create(inventory, kernel_launches="maybe")
    with pytest.raises(MachineError, match="no simulated machine"):
        Machine.open(tmp_path)


def test_compute_mode_and_faults_can_be_changed(machine: Machine) -> None:
    machine.set_compute_mode(1, "exclusive-process")
    machine.set_faults(0, ["nvml-unknown", "lost"])
    first, second = machine.snapshot()["devices"]
    assert (first["compute_mode"], second["compute_mode"]) == ("default", "exclusive-process")
    assert (first["faults"], second["faults"]) == (["nvml-unknown", "lost"], [])
    with pytest.raises(
        MachineError, match="'shared' is not known; it is one of default, prohibited, exclusive-process"
    ):
        machine.set_compute_mode(0, "shared")
    with pytest.raises(MachineError, match="'tired' is not known"):
        machine.set_faults(0, ["tired"])
    with pytest.raises(MachineError, match="No such device"):
        machine.set_compute_mode(2, "default")


# ---- the environment ----


def test_programs_find_this_machine_first_and_keep_the_rest(machine: Machine) -> None:
    environ = machine.environ({"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": "/opt/lib", "HOME": "/home/me"})
    assert environ == {
        "PATH": f"{machine.directory}/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": f"{native.library_directory()}:/opt/lib",
        "LD_AUDIT": str(native.redirect_library()),
        "GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=16384",
        "HOME": "/home/me",
        "GPU_VISIBILITY_MACHINE": str(machine.directory),
    }
    assert machine.environ({})["LD_LIBRARY_PATH"] == str(native.library_directory())


def test_a_machine_within_a_machine_replaces_it(machine: Machine) -> None:
    base = {"PATH": "/usr/bin"}
    with Machine.create(Inventory.load("a100x1")) as inner:
        assert inner.environ(machine.environ(base)) == inner.environ(base)
        probed = inner.probe(inner.environ(machine.environ(os.environ)))
        assert [device.uuid for device in probed.devices] == [inner.inventory.devices[0].uuid]


def test_a_program_may_be_left_without_nvidia_smi(machine: Machine, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("nvidia-smi", "other tool"):
        (tools / name).write_text("#!/bin/sh\necho real\n")
        (tools / name).chmod(0o755)
    base = {"PATH": f"/usr/bin:{tools}:/bin"}
    script = 'command -v nvidia-smi; "other tool"'

    def run(environ: dict[str, str]) -> list[str]:
        return subprocess.run(
            ["/bin/sh", "-c", script], env=environ, capture_output=True, text=True
        ).stdout.splitlines()

    assert run(base) == [f"{tools}/nvidia-smi", "real"]
    assert run(machine.environ(base)) == [f"{machine.directory}/bin/nvidia-smi", "real"]
    assert run(machine.environ(base, nvidia_smi=False)) == ["real"]
    assert run(machine.environ(machine.environ(base), nvidia_smi=False)) == ["real"]
    assert machine.environ(base, nvidia_smi=False) == machine.environ(base, nvidia_smi=False)


# ---- in process ----


def test_a_process_can_go_onto_one_machine_after_another(machine: Machine) -> None:
    with Machine.create(Inventory.load("a100x8")) as second:
        command = python("attaching.py", str(machine.directory), str(second.directory))
        run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (run.stdout.split(), run.stderr) == (["0", "2", "True", "True", "0", "2", "0", "8", "True"], "")


def test_it_is_too_late_when_another_driver_is_loaded(machine: Machine, tmp_path: Path) -> None:
    other = tmp_path / "libcuda.so.1"
    other.write_bytes((native.library_directory() / "libgpuvisibility.so").read_bytes())
    command = python("late_attaching.py", str(other), str(machine.directory))
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    assert str(other) in run.stdout


# ---- the probe ----


def test_a_probe_that_cannot_answer_is_a_failure_of_the_harness(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_bytes(b"not a library")
    assert machine.probe({"LD_LIBRARY_PATH": str(tmp_path)}).result == -1
    with pytest.raises(ProbeFailed, match="did not say what CUDA shows"):
        machine.probe({"LD_PRELOAD": "", **machine.environ(os.environ)}, timeout=0)


# ---- the ledger ----


def test_a_line_still_being_written_is_not_yet_a_record(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert ledger.records() == []
    whole = {"time": 1.5, "pid": 1, "ppid": 0, "start": 2, "argv0": "a", "event": "init", "uuid": None}
    whole |= {
        "cuda_visible_devices": None,
        "cuda_device_order": None,
        "result": 0,
        "count": 1,
        "visible": ["GPU-1"],
    }
    line = json.dumps({**whole, "something newer": True})
    ledger.path.write_text(f"{line}\n{line[:40]}")
    (record,) = ledger.records()
    assert (record.time, record.event, record.visible, record.touched) == (1.5, "init", ("GPU-1",), None)
    ledger.path.write_text(f"{line}\n{line[:40]}\n{line}\n")
    with pytest.raises(LedgerDamaged, match=re.escape(f"Line 2 of {ledger.path} is not a ledger record")):
        ledger.records()


# ---- where the native part is missing ----


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The package seems to be imported from a source folder that holds no libraries."""
    monkeypatch.setattr(native, "_SOURCE", tmp_path / "source" / "native")
    native.native_directory.cache_clear()
    yield tmp_path
    native.native_directory.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, root: Path, *files: str) -> None:
    """Makes `root` a site-packages in which the distribution has these files, and no others."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("no C compiler was found\n")
    information = root / "pytest_gpuvisibility-0.1.0.dist-info"
    information.mkdir()
    (information / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    distribution = importlib.metadata.Distribution.at(information)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: distribution)


def test_an_installation_without_a_compiler_says_so(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, elsewhere / "site-packages", "pytest_gpuvisibility/native/NOT_BUILT")
    with pytest.raises(NativeLibraryMissing, match=r"not part of this installation.*: no C compiler was found"):
        Machine.create(Inventory.load("a100x1"))


def test_a_source_folder_that_hides_the_installed_package_says_so(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [f"pytest_gpuvisibility/native/lib/{name}" for name in native.LIBRARIES]
    install(monkeypatch, elsewhere / "site-packages", *files)
    with pytest.raises(NativeLibraryMissing, match="Python looks into the current directory first"):
        native.library_directory()


def test_a_package_that_is_not_installed_says_so(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def distribution(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    with pytest.raises(NativeLibraryMissing, match="pip install"):
        native.library_directory()
