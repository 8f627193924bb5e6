"""What the witness of a real machine makes of NVML's process lists, on a machine of which only the lists are there."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_gpuvisibility.environment import RUN_VARIABLE
from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.host import procfs
from pytest_gpuvisibility.inventory import Inventory, RealMachine
from pytest_gpuvisibility.records import Account, Evidence
from pytest_gpuvisibility.simulator import Machine
from pytest_gpuvisibility.simulator.probe import ProbedDevice, ProbeResult
from pytest_gpuvisibility.witness import LedgerWitness, NvmlWitness, ProcessRef, nvml, usual_witness

TWO = Inventory.load("a100x2")
MIG = Inventory.load("mig")
FIRST, SECOND = (device.uuid for device in TWO.devices)
ENVIRON = {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID", RUN_VARIABLE: "run-1"}
WORKER = ProcessRef(20, 1000, ENVIRON)


class NvmlError(Exception):
    """pynvml's NVMLError."""


class NotFound(NvmlError):
    """pynvml's NVMLError_FunctionNotFound."""


class WrittenNvml:
    """Stands for pynvml: each device has the list that was written for it, or a reason why it has none."""

    NVMLError = NvmlError
    NVMLError_FunctionNotFound = NotFound

    def __init__(self) -> None:
        self.lists: dict[str, list[int] | Exception] = {}
        self.handles: set[str] = set()
        self.asked: list[str] = []
        self.starts: dict[int, int] = {20: 1000}
        self.environs: dict[int, Mapping[str, str]] = {20: ENVIRON}
        self.probed: list[Mapping[str, str]] = []
        self.shown = [FIRST, SECOND]
        self.newest_is_there = True
        self.fails: Exception | None = None
        self.open = 0

    def nvmlInit(self) -> None:
        if self.fails:
            raise self.fails
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1
        if self.fails:
            raise self.fails

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if isinstance(self.lists.get(uuid), NotFound):
            raise NvmlError("no such device")
        self.handles.add(uuid)
        return uuid

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: str) -> list[Any]:
        if not self.newest_is_there:
            raise NotFound("too old")
        return self.nvmlDeviceGetComputeRunningProcesses_v2(handle)

    def nvmlDeviceGetComputeRunningProcesses_v2(self, handle: str) -> list[Any]:
        self.asked.append(handle)
        listed = self.lists.get(handle, [])
        if isinstance(listed, Exception):
            raise listed
        return [SimpleNamespace(pid=pid) for pid in listed]

    def stat(self, pid: int) -> Any:
        return SimpleNamespace(start_time=self.starts[pid]) if pid in self.starts else None

    def environ(self, pid: int) -> Mapping[str, str]:
        return self.environs.get(pid, {})

    def probe(self, environ: Mapping[str, str]) -> ProbeResult:
        self.probed.append(environ)
        # CUDA says bytes, not whether they are a GPU's or a slice's.
        named = (uuid.replace("MIG-", "GPU-") for uuid in self.shown)
        return ProbeResult(0, tuple(ProbedDevice(ordinal, uuid, "", "") for ordinal, uuid in enumerate(named)))


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> WrittenNvml:
    written = WrittenNvml()
    monkeypatch.setitem(sys.modules, "pynvml", written)
    monkeypatch.setattr(procfs, "stat", written.stat)
    monkeypatch.setattr(procfs, "environ", written.environ)
    monkeypatch.setattr(nvml, "probe", written.probe)
    monkeypatch.setattr(nvml, "PERIOD", 3600.0)
    return written


Opening = Callable[..., NvmlWitness]


@pytest.fixture
def opened(driver: WrittenNvml) -> Iterator[Opening]:
    witnesses: list[NvmlWitness] = []

    def make(inventory: Inventory = TWO) -> NvmlWitness:
        witnesses.append(NvmlWitness(inventory))
        return witnesses[-1]

    yield make
    for witness in witnesses:
        witness.close()


def test_whoever_is_listed_has_touched_the_device_since_it_was_first_listed(
    driver: WrittenNvml, opened: Opening
) -> None:
    witness = opened()
    before = time.time()
    driver.lists = {SECOND: [20]}
    witness.look()
    between = time.time()
    driver.lists = {FIRST: [20], SECOND: [20]}
    found = witness.accounts(iter([WORKER]))[20]
    assert (found.evidence, found.touched) == (Evidence.TOUCHED, (SECOND, FIRST))
    first, second = found.touched_at
    assert before <= first <= between <= second <= time.time()
    assert (found.shown, found.visible, found.device_order) == ((FIRST, SECOND), "1", "PCI_BUS_ID")
    assert (found.peers, found.asked) == (None, None)


def test_what_was_touched_outlives_its_list(driver: WrittenNvml, opened: Opening) -> None:
    witness = opened()
    driver.lists = {FIRST: [20]}
    witness.look()
    driver.lists = {}
    assert witness.accounts([WORKER])[20].touched == (FIRST,)


def test_whoever_is_not_listed_is_probed(driver: WrittenNvml, opened: Opening) -> None:
    driver.shown = [SECOND]
    found = opened().accounts([WORKER])[20]
    assert found == Account(Evidence.PROBED, (), (SECOND,), "1", "PCI_BUS_ID")


def test_of_a_process_whose_environment_nobody_knows_nothing_is_shown(driver: WrittenNvml, opened: Opening) -> None:
    nobody = ProcessRef(21, 1001, {})
    assert opened().accounts([nobody])[21] == Account(Evidence.NONE)
    driver.lists, driver.starts = {FIRST: [21]}, {21: 1001}
    found = opened().accounts([nobody])[21]
    assert (found.evidence, found.touched, found.shown, found.visible) == (Evidence.TOUCHED, (FIRST,), None, None)
    assert driver.probed == []


@pytest.mark.parametrize(("shown", "known"), [([FIRST, SECOND], True), ([FIRST], True), ([SECOND], False), ([], False)])
def test_what_is_shown_is_not_known_of_a_process_that_touched_something_else(
    driver: WrittenNvml, opened: Opening, shown: list[str], known: bool
) -> None:
    driver.shown, driver.lists = shown, {FIRST: [20]}
    assert opened().accounts([WORKER])[20].shown == (tuple(shown) if known else None)


def test_a_later_process_with_the_same_pid_is_another(driver: WrittenNvml, opened: Opening) -> None:
    witness = opened()
    driver.lists = {FIRST: [20]}
    witness.look()
    later = ProcessRef(20, 2000, ENVIRON)
    assert witness.touching(iter([WORKER, later, ProcessRef(21, 1000, {})])) == {20}
    assert witness.touching([later]) == set()
    driver.starts, driver.lists = {20: 2000}, {SECOND: [20]}
    witness.look()
    assert [witness.accounts([each])[20].touched for each in (WORKER, later)] == [(FIRST,), (SECOND,)]


def test_processes_of_the_same_run_that_nobody_saw_are_told_of(driver: WrittenNvml, opened: Opening) -> None:
    driver.starts = {20: 1000, 30: 5, 31: 6, 32: 7, 33: 8}
    driver.environs = {
        20: ENVIRON,
        30: {RUN_VARIABLE: "run-1"},
        31: {RUN_VARIABLE: "run-2"},
        32: {"HOME": "/"},
    }
    driver.lists = {FIRST: [20, 30, 31, 32, 33], SECOND: [30]}
    witness = opened()
    witness.look()
    known = [WORKER, ProcessRef(22, 1002, {})]
    [(pid, found)] = witness.unknown_processes(iter(known)).items()
    assert (pid, found.evidence, found.touched, len(found.touched_at)) == (30, Evidence.TOUCHED, (FIRST, SECOND), 2)
    assert witness.unknown_processes([ProcessRef(22, 1002, {"HOME": "/"})]) == {}
    assert set(witness.unknown_processes([ProcessRef(20, 7, ENVIRON)])) == {20, 30}


def test_a_pid_that_means_nothing_here_is_nobody(driver: WrittenNvml, opened: Opening) -> None:
    driver.lists = {FIRST: [99, 20]}
    assert opened().accounts([WORKER])[20].touched == (FIRST,)
    lists = nvml.ProcessLists(TWO)
    lists.look()
    assert (lists.nameless, set(lists.seen)) == (1, {(20, 1000)})


def test_a_device_that_does_not_list_its_processes_does_not_hide_those_of_others(
    driver: WrittenNvml, opened: Opening
) -> None:
    driver.lists = {FIRST: NvmlError("no permission"), SECOND: [20]}
    assert opened().accounts([WORKER])[20].touched == (SECOND,)
    lists = nvml.ProcessLists(TWO)
    lists.look()
    assert lists.refused == {FIRST: "no permission"}


def test_a_device_that_nvml_does_not_find_is_left_out(driver: WrittenNvml, opened: Opening) -> None:
    driver.lists = {FIRST: NotFound(), SECOND: [20]}
    assert opened().accounts([WORKER])[20].touched == (SECOND,)
    assert driver.handles == {SECOND}


def test_drivers_before_r510_have_an_older_function(driver: WrittenNvml, opened: Opening) -> None:
    driver.newest_is_there, driver.lists = False, {FIRST: [20]}
    assert opened().accounts([WORKER])[20].touched == (FIRST,)


def test_of_a_gpu_with_slices_only_the_slices_are_asked(driver: WrittenNvml, opened: Opening) -> None:
    """It lists the processes of all of them once more."""
    slices = [part.uuid for part in MIG.devices[1].mig]
    driver.lists = {MIG.devices[1].uuid: [20], slices[1]: [20]}
    driver.shown = slices
    found = opened(MIG).accounts([WORKER])[20]
    assert (found.touched, found.shown) == ((slices[1],), tuple(slices))
    assert driver.handles == {MIG.devices[0].uuid, *slices}


def test_a_device_that_the_inventory_does_not_have_is_shown_as_cuda_names_it(
    driver: WrittenNvml, opened: Opening
) -> None:
    driver.shown = [FIRST.upper(), "GPU-ffff"]
    assert opened().accounts([WORKER])[20].shown == (FIRST, "GPU-ffff")


@pytest.mark.parametrize(
    ("change", "asked_anew"),
    [({RUN_VARIABLE: "run-2"}, False), ({"CUDA_VISIBLE_DEVICES": "0"}, True), ({"HOME": "/root"}, True)],
)
def test_the_driver_is_asked_once_for_each_environment(
    driver: WrittenNvml, opened: Opening, change: dict[str, str], asked_anew: bool
) -> None:
    other = ProcessRef(21, 1001, {**ENVIRON, **change})
    assert set(opened().accounts([WORKER, other, WORKER])) == {20, 21}
    assert len(driver.probed) == 1 + asked_anew


def test_the_lists_are_read_while_nobody_asks(driver: WrittenNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "PERIOD", 0.001)
    listed = threading.Event()
    driver.lists = {FIRST: [20]}

    def environ(pid: int) -> Mapping[str, str]:
        listed.set()
        return ENVIRON

    monkeypatch.setattr(procfs, "environ", environ)
    with NvmlWitness(TWO) as witness:
        assert listed.wait(20)
    assert witness.touching([WORKER]) == {20}
    assert driver.open == 0
    assert "NVML process lists" not in {thread.name for thread in threading.enumerate()}


def test_whoever_watches_in_vain_says_so(driver: WrittenNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "PERIOD", 0.001)
    driver.lists = {FIRST: ZeroDivisionError("what is this")}
    with NvmlWitness(TWO) as witness:
        witness._thread.join(20)
        driver.lists = {}
        with pytest.raises(RuntimeError, match="reading NVML's process lists failed") as caught:
            witness.accounts([WORKER])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_without_an_answer_of_nvml_there_is_no_witness(driver: WrittenNvml) -> None:
    driver.fails = NvmlError("driver not loaded")
    with pytest.raises(UserError, match=r"^No NVIDIA driver answers on this machine any more \(driver not loaded\)\.$"):
        NvmlWitness(TWO)


def test_a_driver_that_goes_first_is_no_trouble(driver: WrittenNvml) -> None:
    witness = NvmlWitness(TWO)
    driver.fails = NvmlError("gone")
    witness.close()
    assert driver.open == 0


def test_each_kind_of_machine_has_its_usual_witness(driver: WrittenNvml, machine: Machine) -> None:
    assert isinstance(usual_witness(machine), LedgerWitness)
    real = usual_witness(RealMachine(TWO))
    assert isinstance(real, NvmlWitness)
    real.close()
    assert driver.handles == {FIRST, SECOND}
