"""What the ledger's witness makes of the ledger's records, on a machine of which only the ledger is there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, cast

import pytest

from pytest_gpuvisibility.records import Account, Evidence
from pytest_gpuvisibility.simulator import LedgerRecord, Machine
from pytest_gpuvisibility.simulator.probe import ProbedDevice, ProbeResult
from pytest_gpuvisibility.witness import LedgerWitness, ProcessRef

KNOWN = ProcessRef(20, 1000, {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "HOME": "/"})


def record(event: str, uuid: str | None = None, **what: Any) -> LedgerRecord:
    """Of the process KNOWN, where ``what`` does not say otherwise."""
    plain = LedgerRecord(
        time=1.0,
        pid=20,
        ppid=10,
        start=1000,
        argv0="python",
        event=event,
        uuid=uuid,
        cuda_visible_devices="0,1",
        cuda_device_order=None,
        result=0,
        count=1,
    )
    return dataclasses.replace(plain, **what)


INIT = record("init", visible=("GPU-0", "GPU-1"))


class WrittenMachine:
    """A machine whose ledger has these records, and whose driver shows the device that the mask names."""

    def __init__(self, records: Iterable[LedgerRecord]) -> None:
        self.written = list(records)
        self.probed: list[Mapping[str, str]] = []
        self.read = 0
        self.ledger = self

    @property
    def size(self) -> int:
        return len(self.written)

    def records(self) -> list[LedgerRecord]:
        self.read += 1
        return list(self.written)

    def probe(self, environ: Mapping[str, str]) -> ProbeResult:
        self.probed.append(environ)
        return ProbeResult(0, (ProbedDevice(0, f"GPU-{environ.get('CUDA_VISIBLE_DEVICES', 'all')}", "", ""),))


def witness_of(*records: LedgerRecord) -> tuple[LedgerWitness, WrittenMachine]:
    machine = WrittenMachine(records)
    return LedgerWitness(cast(Machine, machine)), machine


def account(*records: LedgerRecord, process: ProcessRef = KNOWN) -> Account:
    return witness_of(*records)[0].accounts([process])[process.pid]


def test_whoever_opened_a_device_has_touched_it() -> None:
    found = account(INIT, record("context", "GPU-1", time=2.0), record("alloc", "GPU-0", time=3.0))
    assert (found.evidence, found.touched, found.touched_at) == (Evidence.TOUCHED, ("GPU-1", "GPU-0"), (2.0, 3.0))
    assert (found.shown, found.visible, found.device_order) == (("GPU-0", "GPU-1"), "0,1", None)
    assert found.ppid == 10


def test_a_device_counts_from_its_first_use_on() -> None:
    found = account(INIT, record("context", "GPU-1", time=2.0), record("alloc", "GPU-1", time=3.0))
    assert (found.touched, found.touched_at) == (("GPU-1",), (2.0,))


@pytest.mark.parametrize(
    "other",
    [
        record("context", "GPU-1", result=2),
        record("refused", "GPU-1"),
        record("launch", "GPU-1"),
        record("peer", "GPU-1"),
    ],
    ids=["failed", "refused", "kernel launch", "peer"],
)
def test_whoever_opened_none_has_touched_none(other: LedgerRecord) -> None:
    found = account(INIT, other)
    assert (found.evidence, found.touched, found.touched_at) == (Evidence.INITIALISED, (), ())
    assert found.shown == ("GPU-0", "GPU-1")


def test_the_mask_is_the_one_that_cuinit_read() -> None:
    early = record("refused", cuda_visible_devices="3", visible=None)
    found = account(early, dataclasses.replace(INIT, cuda_device_order="PCI_BUS_ID"))
    assert (found.visible, found.device_order, found.shown) == ("0,1", "PCI_BUS_ID", ("GPU-0", "GPU-1"))
    assert account(early).visible == "3"


def test_peers_are_those_that_were_really_opened_each_once() -> None:
    found = account(
        *(INIT, record("peer", "GPU-1"), record("peer", "GPU-0"), record("peer", "GPU-1")),
        *(record("peer", "GPU-2", result=1), record("peer"), record("context", "GPU-3")),
    )
    assert found.peers == ("GPU-1", "GPU-0")
    assert account(INIT).peers == ()


def test_other_masks_at_a_context_are_told_each_once() -> None:
    late = record("remask", cuda_visible_devices="1")
    in_order = record("remask", cuda_visible_devices=None, cuda_device_order="PCI_BUS_ID")
    assert account(INIT, late, in_order, late).remasked == (("1", None), (None, "PCI_BUS_ID"))
    assert account(INIT).remasked == ()


MEMORY = record("question", "GPU-1", function="memory", cuda_visible_devices=None)


def test_what_nvml_was_asked_is_told_each_once() -> None:
    topology = record("question", "GPU-1", function="topology")
    nothing = (
        record("question", function="memory"),
        record("question", "GPU-1"),
        record("context", "GPU-1", function="f"),
    )
    assert account(INIT, MEMORY, topology, MEMORY, *nothing).asked == (("GPU-1", "memory"), ("GPU-1", "topology"))
    assert account(INIT).asked == ()


def test_a_question_to_nvml_is_no_use_of_cuda() -> None:
    found = account(MEMORY, dataclasses.replace(INIT, cuda_visible_devices="2"))
    assert (found.evidence, found.visible, found.asked) == (Evidence.INITIALISED, "2", (("GPU-1", "memory"),))
    only_asked = account(MEMORY)
    assert (only_asked.evidence, only_asked.shown, only_asked.asked) == (
        Evidence.PROBED,
        ("GPU-1",),
        (("GPU-1", "memory"),),
    )


def test_whoever_never_used_the_driver_is_probed_under_its_own_environment() -> None:
    witness, machine = witness_of(dataclasses.replace(INIT, pid=99))
    found = witness.accounts([KNOWN])[20]
    assert found == Account(
        Evidence.PROBED, shown=("GPU-1",), visible="1", device_order="PCI_BUS_ID", asked=(), peers=()
    )
    assert machine.probed == [KNOWN.environ]


def test_of_a_process_that_was_gone_nothing_is_known() -> None:
    found = account(process=ProcessRef(20, 1000, {}))
    assert found == Account(Evidence.NONE, asked=())


def test_a_later_process_with_the_same_pid_is_another() -> None:
    witness, _ = witness_of(INIT, record("context", "GPU-1"), record("context", "GPU-0", start=2000))
    assert witness.accounts([KNOWN])[20].touched == ("GPU-1",)
    assert witness.accounts([ProcessRef(20, 3000, {})])[20].evidence == Evidence.NONE
    assert witness.touching([ProcessRef(20, 3000, {}), ProcessRef(21, 1000, {})]) == set()


def test_each_process_has_an_account() -> None:
    other = ProcessRef(21, 1001, {})
    witness, _ = witness_of(INIT, record("context", "GPU-1"), record("context", "GPU-0", pid=21, start=1001))
    accounts = witness.accounts(iter([KNOWN, other]))
    assert {pid: account.touched for pid, account in accounts.items()} == {20: ("GPU-1",), 21: ("GPU-0",)}


@pytest.mark.parametrize(
    ("name", "value", "asked_anew"),
    [
        ("CUDA_VISIBLE_DEVICES", "2", True),
        ("NVIDIA_VISIBLE_DEVICES", "all", True),
        ("LD_LIBRARY_PATH", "/elsewhere", True),
        ("GPU_VISIBILITY_MACHINE", "/elsewhere", True),
        ("HOME", "/root", False),
        ("MY_CUDA_VISIBLE_DEVICES", "2", False),
    ],
)
def test_the_driver_is_asked_once_for_all_processes_that_it_cannot_tell_apart(
    name: str, value: str, asked_anew: bool
) -> None:
    witness, machine = witness_of()
    other = ProcessRef(21, 1001, {**KNOWN.environ, name: value})
    accounts = witness.accounts([KNOWN, other, KNOWN])
    assert len(machine.probed) == 1 + asked_anew
    assert accounts[21].shown == (("GPU-2",) if value == "2" and asked_anew else ("GPU-1",))


def test_who_touches_is_known_while_a_server_starts_and_the_ledger_is_read_when_it_grows() -> None:
    witness, machine = witness_of(INIT)
    assert witness.touching([KNOWN]) == set()
    machine.written.append(record("context", "GPU-1"))
    machine.written.append(record("context", "GPU-1", pid=30, start=1))
    assert witness.touching(iter([KNOWN, ProcessRef(21, 1001, {})])) == {20}
    read = machine.read
    assert witness.touching([KNOWN]) == {20}
    assert machine.read == read
    machine.written.append(record("alloc", "GPU-1", pid=21, start=1001))
    assert witness.touching([KNOWN, ProcessRef(21, 1001, {})]) == {20, 21}


def test_processes_that_nobody_saw_are_told_of() -> None:
    witness, _ = witness_of(INIT, record("context", "GPU-1"), record("context", "GPU-0", pid=30, start=5, ppid=20))
    [(pid, found)] = witness.unknown_processes(iter([KNOWN])).items()
    assert (pid, found.touched, found.ppid) == (30, ("GPU-0",), 20)
    assert set(witness.unknown_processes([])) == {20, 30}
    assert set(witness.unknown_processes([ProcessRef(20, 7, {})])) == {20, 30}


def test_an_unknown_process_that_only_asked_nvml_used_no_device() -> None:
    witness, _ = witness_of(MEMORY)
    [found] = witness.unknown_processes([]).values()
    assert (found.evidence, found.touched, found.asked) == (Evidence.NONE, (), (("GPU-1", "memory"),))
