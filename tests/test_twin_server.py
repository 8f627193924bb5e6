"""The twins' server itself: the correct one works, and each fault does what ``twins.toml`` says.

Whether the rules notice is the matter of ``test_twins.py``; here nothing of the suite is needed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pytest_gpuvisibility.conformance.masks import Masks

from pytest_gpuvisibility.inventory.model import Inventory
from pytest_gpuvisibility.resources import shipped_directory
from pytest_gpuvisibility.simulator.machine import Machine

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TWINS = shipped_directory("fixtures") / "twins"
COMMAND = [sys.executable, "-I", str(TWINS / "server")]
DEADLINE = 20.0
PCI = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
EQUAL, UNEQUAL = Inventory.load("a100x8"), Inventory.load("mixed4")
UUIDS = [device.uuid for device in EQUAL.devices]
PREFIX = EQUAL.unique_prefix(EQUAL.devices[5])
SUPPLY_LINE = r"asks for 4 device\(s\), but CUDA shows only 2: CUDA_VISIBLE_DEVICES=2,3"


def free_ports(count: int) -> int:
    """The first of `count` consecutive ports that nobody listens on."""
    while True:
        with contextlib.ExitStack() as held:
            first = held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            try:
                for port in range(first + 1, first + count):
                    held.enter_context(socket.create_server(("127.0.0.1", port)))
            except (OSError, OverflowError):
                continue
            return int(first)


class Fleet:
    """A running server on a machine of its own, from its launch to the end of its last process."""

    def __init__(
        self,
        machine: Machine,
        layout: str,
        fault: str,
        environ: dict[str, str],
        nvidia_smi: bool = True,
        port: int | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        self.machine, self.groups = machine, int(layout.split("x")[0])
        self.port = port or free_ports(self.groups + 1)
        self.lines: list[str] = []
        base = {name: value for name, value in os.environ.items() if not name.startswith("CUDA_")} | environ
        self.process = subprocess.Popen(
            [*COMMAND, "--layout", layout, "--port", str(self.port), "--fault", fault, *options],
            env=machine.environ(base, nvidia_smi=nvidia_smi),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_until_ready(self) -> Fleet:
        """Reads on until every worker and the balancer have said that they are ready."""
        waiting = self.groups + 1
        while waiting:
            line = self.read_line()
            waiting -= bool(re.match(r"(worker \d+|balancer) ready on", line))
        return self

    def read_line(self) -> str:
        """The next line that it prints, which is kept."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()
        self.lines.append(line.rstrip())
        return line

    def devices(self, worker: int) -> str:
        """What a worker said last that it is ready on."""
        said = [line.partition(" ready on ")[2] for line in self.lines if line.startswith(f"worker {worker} ready on ")]
        return said[-1]

    def ask(self, worker: int | None = None, method: str = "POST", path: str = "/generate") -> tuple[int, Any]:
        """Status and JSON value of a request to a worker, or to the balancer."""
        port = self.port if worker is None else self.port + 1 + worker
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            return refusal.code, json.load(refusal)

    def worker_pids(self) -> list[int]:
        """By the balancer's word."""
        return [worker["pid"] for worker in self.ask(method="GET", path="/health")[1]["workers"]]

    def touched(self, pid: int) -> list[int]:
        """PCI indices of the devices that a process opened a context on, in that order."""
        index = {device.uuid: device.index for device in self.machine.inventory.devices}
        records = self.machine.ledger.records()
        return [index[r.uuid] for r in records if (r.pid, r.event) == (pid, "context") and r.uuid is not None]

    def groups_touched(self) -> list[list[int]]:
        """For each worker in turn, `touched`."""
        return [self.touched(pid) for pid in self.worker_pids()]

    def kill(self, pids: list[int]) -> None:
        """Kills processes so that the launcher learns of all at once: a pending SIGCHLD is pending once."""
        self.process.send_signal(signal.SIGSTOP)
        for pid in pids:
            ended = os.pidfd_open(pid)
            os.kill(pid, signal.SIGKILL)
            select.select([ended], [], [], DEADLINE)
            os.close(ended)
        self.process.send_signal(signal.SIGCONT)

    def wait_until_gone(self) -> tuple[int, str]:
        """The launcher's exit code and the rest of stderr, once every process that holds it has ended."""
        _, errors = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, errors

    def clean_up(self) -> None:
        """Kills what is left of the session, twins that leave processes behind included."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=DEADLINE)


class Launching:
    """Launches servers, and cleans up after them."""

    def __init__(self) -> None:
        self.stack = contextlib.ExitStack()

    def __call__(
        self,
        layout: str,
        visible: str | None,
        fault: str = "none",
        *,
        inventory: Inventory = EQUAL,
        beside: Fleet | None = None,
        environ: dict[str, str] | None = None,
        **how: Any,
    ) -> Fleet:
        """A fleet on a machine of its own, or on that of another one; `how` as Fleet takes it."""
        machine = beside.machine if beside else self.stack.enter_context(Machine.create(inventory))
        mask = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        fleet = Fleet(machine, layout, fault, mask | (environ or {}), **how)
        self.stack.callback(fleet.clean_up)
        return fleet


@pytest.fixture
def launch() -> Iterator[Launching]:
    launching = Launching()
    with launching.stack:
        yield launching


def usage(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE)


@pytest.mark.parametrize("layout", ["0x1", "2x0", "-1x1", "x", "2", "abc", "2x1x1", ""])
def test_a_layout_that_makes_no_sense_is_a_usage_error(layout: str) -> None:
    run = usage("--layout", layout, "--port", "19100")
    assert run.returncode == 2
    assert run.stderr.startswith("usage: ")
    assert f"--layout {layout!r} is not" in run.stderr


@pytest.mark.parametrize("port", ["0", "65534", "http", ""])
def test_a_port_without_room_for_the_workers_is_a_usage_error(port: str) -> None:
    run = usage("--layout", "2x1", "--port", port)
    assert (run.returncode, run.stdout) == (2, "")
    assert f"--port {port!r} is not in 1-65533" in run.stderr


def test_an_unknown_fault_is_a_usage_error() -> None:
    run = usage("--layout", "2x1", "--port", "19100", "--fault", "vis-999")
    assert run.returncode == 2
    assert "--fault vis-999: known are none, vis-001" in run.stderr


def test_the_version_is_printed() -> None:
    assert usage("--version").stdout == "twin 1.0\n"


def test_every_fault_is_a_described_twin() -> None:
    twins = tomllib.loads((TWINS / "twins.toml").read_text())["twin"]
    known = usage("--fault", "?").stderr.rpartition("known are none, ")[2].split()
    assert [twin["fault"] for twin in twins] == [name.rstrip(",") for name in known]
    assert [twin["rule"] for twin in twins] == [twin["fault"].upper() for twin in twins]


@pytest.mark.parametrize(
    ("layout", "visible", "expected"),
    [
        ("4x1", "4,5,6,7", [[4], [5], [6], [7]]),
        ("2x2", "4,5,6,7", [[4, 5], [6, 7]]),
        ("2x1", "0,2", [[0], [2]]),
        ("2x1", "7,3", [[7], [3]]),
        ("2x1", None, [[0], [1]]),
        ("2x1", "0,2,-1,1", [[0], [2]]),
        ("2x1", "0,1,2,3", [[0], [1]]),
        ("2x1", f"{UUIDS[5]},{UUIDS[6]}", [[5], [6]]),
        ("1x1", PREFIX, [[5]]),
    ],
)
def test_the_correct_server_uses_what_its_mask_gives(
    launch: Launching, layout: str, visible: str | None, expected: list[list[int]]
) -> None:
    fleet = launch(layout, visible).wait_until_ready()
    assert fleet.groups_touched() == expected
    assert fleet.touched(fleet.process.pid) == []


@pytest.mark.parametrize(
    ("environ", "visible", "expected"), [({}, "0", [[2]]), (PCI, "0", [[0]]), (PCI, "2,1", [[2], [1]])]
)
def test_the_correct_server_reads_ordinals_as_cuda_does(
    launch: Launching, environ: dict[str, str], visible: str, expected: list[list[int]]
) -> None:
    fleet = launch(f"{len(expected)}x1", visible, inventory=UNEQUAL, environ=environ).wait_until_ready()
    assert fleet.groups_touched() == expected


def test_the_correct_server_uses_slices_by_their_names(launch: Launching) -> None:
    inventory = Inventory.load("mig")
    slices = [mig.uuid for device in inventory.devices for mig in device.mig]
    fleet = launch("2x1", ",".join(slices), inventory=inventory).wait_until_ready()
    units = [record.uuid for record in fleet.machine.ledger.records() if record.event == "context"]
    assert sorted(filter(None, units)) == sorted(slices)


@pytest.mark.parametrize(
    ("layout", "visible", "words"),
    [
        ("2x2", "2,3", SUPPLY_LINE),
        ("9x1", None, r"asks for 9 device\(s\), but CUDA shows only 8: CUDA_VISIBLE_DEVICES is not set"),
        ("2x1", "0,99,1", r"CUDA shows only 1: CUDA_VISIBLE_DEVICES=0,99,1; CUDA stopped reading it at '99'"),
        ("3x1", "0,2,-1,1", r"CUDA shows only 2: .*; CUDA stopped reading it at '-1'"),
        ("1x1", "", r'no GPU is visible \(0 available\): CUDA_VISIBLE_DEVICES=""'),
        ("1x1", "-1", r"no GPU is visible \(0 available\): CUDA_VISIBLE_DEVICES=-1"),
        ("1x1", "99", r"no GPU is visible \(0 available\): CUDA_VISIBLE_DEVICES=99"),
        ("2x1", "2,2", r"no GPU is visible \(0 available\): CUDA_VISIBLE_DEVICES=2,2"),
    ],
)
def test_the_correct_server_refuses_what_it_cannot_do(
    launch: Launching, layout: str, visible: str | None, words: str
) -> None:
    fleet = launch(layout, visible)
    code, errors = fleet.wait_until_gone()
    assert code == 1
    assert re.search(words, errors.splitlines()[-1])
    assert {record.event for record in fleet.machine.ledger.records()} == {"init"}


def test_workers_and_balancer_answer(launch: Launching) -> None:
    fleet = launch("2x2", "4,5,6,7").wait_until_ready()
    answers = [(200, {"worker": worker, "ordinals": [0, 1]}) for worker in (0, 1)]
    assert [fleet.ask(worker) for worker in (0, 1)] == answers
    assert [fleet.ask() for _ in range(4)] == [*answers, *answers]
    assert [fleet.ask(worker, "GET", "/health")[0] for worker in (0, 1, None)] == [200, 200, 200]
    assert fleet.ask(0, "GET", "/")[0] == 404
    used = {process["pid"]: process["bytes"] for process in fleet.machine.snapshot()["processes"]}
    assert {pid: used[pid] for pid in fleet.worker_pids()} == dict.fromkeys(fleet.worker_pids(), 64 << 20)


def test_nvidia_smi_is_not_needed(launch: Launching) -> None:
    fleet = launch("2x1", None, nvidia_smi=False).wait_until_ready()
    assert fleet.groups_touched() == [[0], [1]]


@pytest.mark.parametrize(
    ("ending", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_whatever_ends_the_launcher_ends_all(launch: Launching, ending: signal.Signals, code: int) -> None:
    fleet = launch("2x1", "6,7").wait_until_ready()
    fleet.process.send_signal(ending)
    assert fleet.wait_until_gone() == (code, "")
    assert fleet.machine.snapshot()["processes"] == []


def test_ctrl_c_in_a_terminal_ends_all_without_noise(launch: Launching) -> None:
    fleet = launch("2x1", "6,7").wait_until_ready()
    os.killpg(fleet.process.pid, signal.SIGINT)
    assert fleet.wait_until_gone() == (0, "")


def test_a_worker_that_dies_ends_all(launch: Launching) -> None:
    fleet = launch("2x1", "6,7").wait_until_ready()
    os.kill(fleet.worker_pids()[1], signal.SIGKILL)
    code, errors = fleet.wait_until_gone()
    assert code == 1
    assert "worker 1 ended with exit code -9" in errors


def test_the_end_of_all_children_at_once_ends_the_launcher(launch: Launching) -> None:
    fleet = launch("2x1", "6,7").wait_until_ready()
    fleet.kill([child.pid for child in psutil.Process(fleet.process.pid).children()])
    assert fleet.wait_until_gone()[0] == 1


def test_a_device_that_cannot_be_opened_ends_all(launch: Launching) -> None:
    first = launch("2x1", "0,1", inventory=Inventory.load("exclusive4")).wait_until_ready()
    code, errors = launch("2x1", "1,2", beside=first).wait_until_gone()
    assert code == 1
    assert re.search(r"worker 0 on port \d+: cuDevicePrimaryCtxRetain failed", errors)


def test_a_taken_port_ends_all(launch: Launching) -> None:
    first = launch("2x1", "0,1").wait_until_ready()
    code, errors = launch("1x1", "2", beside=first, port=first.port + 1).wait_until_gone()
    assert code == 1
    assert "Address already in use" in errors


@pytest.mark.parametrize(
    ("fault", "layout", "visible", "expected"),
    [
        ("vis-001", "4x1", "4,5,6,7", [[0], [1], [2], [3]]),
        ("vis-002", "2x1", "0,2", [[0], [1]]),
        ("vis-003", "2x1", None, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        ("vis-004", "2x1", "", [[0], [1]]),
        ("vis-005", "2x1", "-1", [[0], [1]]),
        ("vis-006", "3x1", "0,2,-1,1", [[0], [2], [1]]),
        ("vis-007", "2x1", "0,99,1", [[0], [1]]),
        ("vis-008", "1x1", "99", [[0]]),
        ("vis-009", "2x1", "2,2", [[2], [2]]),
        ("vis-010", "2x1", " 2, 3", [[0], [1]]),
        ("vis-010", "2x1", "2,3,", [[0], [1]]),
        ("vis-011", "1x1", "all", [[0]]),
        ("idn-003", "1x1", Masks(EQUAL).shared_prefix, [[6]]),
        ("idn-004", "2x1", f"0,{UUIDS[5]}", [[0], [5]]),
        ("asn-001", "2x2", "4,5,6,7", [[4, 5], [5, 6]]),
        ("asn-004", "4x1", "4,5,6,7", [[4], [4], [4], [4]]),
        ("ovr-001", "2x2", "2,3", [[2, 3], []]),
        ("ovr-003", "2x2", "2,3", [[2, 3], [2, 3]]),
        ("ovr-010", "2x1", "0,1,2,3", [[0], [1, 2]]),
    ],
)
def test_faults_that_use_the_wrong_devices(
    launch: Launching, fault: str, layout: str, visible: str | None, expected: list[list[int]]
) -> None:
    assert launch(layout, visible, fault).wait_until_ready().groups_touched() == expected


SPLIT = "--dp 2 --pp 2 --tp 1"


@pytest.mark.parametrize(
    ("options", "layout", "visible", "expected"),
    [
        ("--device 1", "1x1", "4,5", [[5]]),
        ("--share 2", "2x1", "4", [[4], [4]]),
        ("--share 2", "4x1", "4,5", [[4], [5], [4], [5]]),
        ("--cpu", "2x1", "", [[], []]),
        ("--cpu", "1x1", "4,5", [[]]),
        (SPLIT, "2x2", "4,5,6,7", [[4, 5], [6, 7]]),
        ("--engines", "2x2", "4,5,6,7", [[4, 5], [6, 7]]),
    ],
)
def test_the_correct_server_does_as_its_flags_say(
    launch: Launching, options: str, layout: str, visible: str, expected: list[list[int]]
) -> None:
    fleet = launch(layout, visible, options=tuple(options.split())).wait_until_ready()
    assert fleet.groups_touched() == expected


@pytest.mark.parametrize(
    ("fault", "options", "layout", "visible", "expected"),
    [
        ("idn-008", "--device 1", "1x1", "1,2", [[1]]),
        ("idn-008", "--device 1", "1x1", "4,5", [[5]]),
        ("asn-005", SPLIT, "2x2", "4,5,6,7", [[4, 5], [5, 6]]),
        ("asn-005", "--dp 2 --pp 1 --tp 2", "2x2", "4,5,6,7", [[4, 5], [6, 7]]),
        ("asn-008", "--engines", "2x2", "4,5,6,7", [[4, 5], [4, 5]]),
        ("asn-009", "--device 2", "1x1", "4,5", [[2]]),
    ],
)
def test_faults_that_follow_flags_wrongly(
    launch: Launching, fault: str, options: str, layout: str, visible: str, expected: list[list[int]]
) -> None:
    fleet = launch(layout, visible, fault, options=tuple(options.split())).wait_until_ready()
    assert fleet.groups_touched() == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--device one", "--device 'one' is not a number from 0 on"),
        ("--share 0", "--share '0' is not a number from 1 on"),
        ("--dp 2 --pp 2 --tp 2", "--dp, --pp and --tp do not make 2 groups of 2"),
    ],
)
def test_a_flag_that_makes_no_sense_is_a_usage_error(arguments: str, words: str) -> None:
    run = usage("--layout", "2x2", "--port", "19100", *arguments.split())
    assert run.returncode == 2
    assert words in run.stderr


@pytest.mark.parametrize(
    ("fault", "options", "visible", "words"),
    [
        ("none", "--device 2", "4,5", r"--device 2 is none of the visible devices: there are only 2, .*: .*=4,5$"),
        ("none", "--device 0", "", r'there is none: CUDA_VISIBLE_DEVICES=""$'),
        ("ovr-009", "--share 2", "4", r"layout 2x1 asks for 2 device\(s\), but CUDA shows only 1"),
    ],
)
def test_flags_that_cannot_be_followed_are_refused(
    launch: Launching, fault: str, options: str, visible: str, words: str
) -> None:
    layout = "2x1" if "share" in options else "1x1"
    code, errors = launch(layout, visible, fault, options=tuple(options.split())).wait_until_gone()
    assert code == 1
    assert re.search(words, errors.splitlines()[-1])


def test_sharing_is_told(launch: Launching) -> None:
    fleet = launch("2x1", "4", options=("--share", "2")).wait_until_ready()
    fleet.process.terminate()
    assert "note: 2 groups share each of 1 device(s)" in fleet.wait_until_gone()[1]


def test_a_second_model_is_loaded_where_the_first_is(launch: Launching) -> None:
    for fault, expected in (("none", [[4], [5]]), ("asn-010", [[4, 5], [5]])):
        fleet = launch("2x1", "4,5", fault).wait_until_ready()
        assert fleet.ask(0, path="/load") == (200, {"worker": 0, "models": 2})
        assert fleet.groups_touched() == expected


def test_the_fault_that_leaks_at_a_later_request(launch: Launching) -> None:
    fleet = launch("2x1", "4,5", "asn-002").wait_until_ready()
    for expected in ([[4], [5]], [[4], [5]], [[4], [5, 4]], [[4], [5, 4]]):
        assert [fleet.ask(worker)[0] for worker in (0, 1)] == [200, 200]
        assert fleet.groups_touched() == expected


def test_the_fault_that_opens_a_device_in_the_launcher(launch: Launching) -> None:
    fleet = launch("2x1", "4,5", "asn-003").wait_until_ready()
    assert (fleet.touched(fleet.process.pid), fleet.groups_touched()) == ([4], [[4], [5]])


@pytest.mark.parametrize(("fault", "event", "indices"), [("asn-007", "remask", [4, 5]), ("asn-012", "peer", [4, 5])])
def test_faults_that_only_the_driver_sees(launch: Launching, fault: str, event: str, indices: list[int]) -> None:
    fleet = launch("2x1", "4,5", fault).wait_until_ready()
    assert fleet.groups_touched() == [[4], [5]]
    assert sorted(UUIDS.index(r.uuid or "") for r in fleet.machine.ledger.records() if r.event == event) == indices


def test_the_fault_that_opens_each_device_twice(launch: Launching) -> None:
    fleet = launch("2x1", "4,5", "asn-011").wait_until_ready()
    openings = [record.uuid for record in fleet.machine.ledger.records() if record.event == "context"]
    assert sorted(UUIDS.index(uuid or "") for uuid in openings) == [4, 4, 5, 5]
    exclusive = launch("2x1", "0,1", "asn-011", inventory=Inventory.load("exclusive4"))
    assert "the memory in use could not be measured" in exclusive.wait_until_gone()[1]


def test_the_fault_that_packs_onto_gpus_in_use(launch: Launching) -> None:
    first = launch("1x1", "4", "asn-006").wait_until_ready()
    second = launch("1x1", "6", "asn-006", beside=first).wait_until_ready()
    assert (first.groups_touched(), second.groups_touched()) == ([[4]], [[4]])


def test_the_fault_that_falls_back_to_the_cpu(launch: Launching) -> None:
    bare = Inventory.load("none")
    assert launch("1x1", None, "ovr-005", inventory=bare).wait_until_ready().ask(0)[0] == 200
    assert launch("1x1", None, inventory=bare).wait_until_gone()[0] == 1
    assert launch("1x1", "", "ovr-005").wait_until_gone()[0] == 1


def test_the_fault_that_opens_before_it_counts(launch: Launching) -> None:
    fleet = launch("2x2", "2,3", "ovr-007")
    assert fleet.wait_until_gone()[0] == 1
    assert fleet.touched(fleet.process.pid) == [2]


@pytest.mark.parametrize(
    ("fault", "environ", "visible", "expected"),
    [
        ("idn-005", PCI, "2,1", [[1], [2]]),
        ("idn-006", {}, "0", [[0]]),
        ("idn-007", PCI, "0", [[2]]),
        ("idn-007", PCI, "2,1", [[2], [1]]),
    ],
)
def test_faults_that_confuse_the_order(
    launch: Launching, fault: str, environ: dict[str, str], visible: str, expected: list[list[int]]
) -> None:
    layout = f"{len(expected)}x1"
    fleet = launch(layout, visible, fault, inventory=UNEQUAL, environ=environ).wait_until_ready()
    assert fleet.groups_touched() == expected


def test_the_fault_that_sorts_leaves_lists_alone_that_end_early(launch: Launching) -> None:
    assert launch("2x1", "0,99,1", "idn-005").wait_until_gone()[0] == 1


@pytest.mark.parametrize(
    ("fault", "layout", "visible", "words"),
    [
        ("idn-001", "2x1", f"{UUIDS[5]},{UUIDS[6]}", r"^ValueError: invalid literal for int\(\)"),
        ("idn-002", "1x1", PREFIX, "names no GPU of this machine"),
        ("ovr-002", "2x2", "2,3", "^server: error: not enough GPUs for this layout$"),
        ("ovr-006", "2x2", "2,3", "^IndexError: list index out of range$"),
    ],
)
def test_faults_that_refuse_wrongly(launch: Launching, fault: str, layout: str, visible: str, words: str) -> None:
    code, errors = launch(layout, visible, fault).wait_until_gone()
    assert code == 1
    assert re.search(words, errors.splitlines()[-1])


def test_the_fault_that_widens_masks(launch: Launching) -> None:
    fleet = launch("2x1", "6,7", "vis-012").wait_until_ready()
    assert fleet.groups_touched() == [[6], [7]]
    inits = [record for record in fleet.machine.ledger.records() if record.event == "init"]
    assert [len(init.visible or ()) for init in inits if init.pid in fleet.worker_pids()] == [8, 8]


def test_the_fault_that_waits_for_ever_says_why_and_can_be_stopped(launch: Launching) -> None:
    fleet = launch("2x2", "2,3", "ovr-004")
    assert fleet.process.stderr is not None
    assert re.search(f"waiting for more GPUs: .*{SUPPLY_LINE}", fleet.process.stderr.readline())
    assert fleet.process.poll() is None
    fleet.process.terminate()
    assert fleet.wait_until_gone()[0] == 0


def test_the_fault_that_serves_nothing_ends_well(launch: Launching) -> None:
    assert launch("0x1", "4,5", "ovr-008").wait_until_gone()[0] == 0


def test_the_fault_that_needs_nvidia_smi(launch: Launching) -> None:
    code, errors = launch("2x1", None, "ctr-004", nvidia_smi=False).wait_until_gone()
    assert code == 1
    assert "FileNotFoundError" in errors.splitlines()[-1]
    assert launch("2x1", None, "ctr-004").wait_until_ready().groups_touched() == [[0], [1]]


@pytest.mark.parametrize(
    ("fault", "ending"),
    [("lif-002", signal.SIGTERM), ("lif-003", signal.SIGKILL), ("lif-004", signal.SIGINT)],
)
def test_faults_that_leave_processes_behind(launch: Launching, fault: str, ending: signal.Signals) -> None:
    fleet = launch("2x1", "6,7", fault).wait_until_ready()
    fleet.process.send_signal(ending)
    fleet.process.wait(DEADLINE)
    assert [fleet.ask(worker)[0] for worker in (0, 1, None)] == [200, 200, 200]
    for other in {signal.SIGTERM, signal.SIGKILL, signal.SIGINT} - {ending}:
        sound = launch("2x1", "6,7", fault).wait_until_ready()
        sound.process.send_signal(other)
        sound.wait_until_gone()


def test_the_fault_that_overlooks_a_dead_worker(launch: Launching) -> None:
    fleet = launch("2x1", "6,7", "lif-001").wait_until_ready()
    os.kill(fleet.worker_pids()[1], signal.SIGKILL)
    assert fleet.process.stderr is not None
    assert "worker 1 ended" in fleet.process.stderr.readline()
    assert fleet.process.poll() is None
    status, health = fleet.ask(method="GET", path="/health")
    assert (status, len(health["workers"])) == (200, 1)


def test_the_fault_that_ends_well_without_workers(launch: Launching) -> None:
    fleet = launch("2x1", "6,7", "lif-010").wait_until_ready()
    fleet.kill(fleet.worker_pids())
    assert fleet.wait_until_gone()[0] == 0
    one = launch("2x1", "6,7", "lif-010").wait_until_ready()
    os.kill(one.worker_pids()[0], signal.SIGKILL)
    assert one.wait_until_gone()[0] == 1


CONTAINER, SLICED, SICK = Inventory.load("container"), Inventory.load("mig"), Inventory.load("sick8")
SLICES = [unit.uuid for unit in SLICED.devices[1].mig]
GIVEN = {"NVIDIA_VISIBLE_DEVICES": "1,3"}


@pytest.mark.parametrize(
    ("fault", "environ", "code"),
    [("none", {}, None), ("none", GIVEN, None), ("ctr-001", {}, 1), ("ctr-002", GIVEN, 1), ("ctr-002", {}, None)],
)
def test_faults_that_count_a_containers_devices_by_the_hosts_numbers(
    launch: Launching, fault: str, environ: dict[str, str], code: int | None
) -> None:
    fleet = launch("2x1", None, fault, inventory=CONTAINER, environ=environ)
    if code is None:
        assert fleet.wait_until_ready().groups_touched() == [[0], [1]]
    else:
        returned, errors = fleet.wait_until_gone()
        assert (returned, "CUDA shows 0 device(s) of the 1 given" in errors) == (code, True)


@pytest.mark.parametrize(("fault", "touched"), [("none", [[2]]), ("ctr-003", [[0]])])
def test_the_fault_that_believes_the_containers_variable(
    launch: Launching, fault: str, touched: list[list[int]]
) -> None:
    fleet = launch("1x1", "2", fault, environ={"NVIDIA_VISIBLE_DEVICES": "all"})
    assert fleet.wait_until_ready().groups_touched() == touched


@pytest.mark.parametrize(
    ("fault", "layout", "visible", "devices"),
    [
        ("ctr-007", "2x1", ",".join(SLICES), [SLICES[0], SLICES[0]]),
        ("ctr-008", "1x2", ",".join(SLICES), [SLICES[0]]),
        ("ctr-006", "2x1", ",".join(SLICES), SLICES),
        ("ctr-009", "1x1", SLICES[1], [SLICES[1]]),
    ],
)
def test_faults_that_know_fewer_slices(
    launch: Launching, fault: str, layout: str, visible: str, devices: list[str]
) -> None:
    fleet = launch(layout, visible, fault, inventory=SLICED).wait_until_ready()
    assert [fleet.devices(worker) for worker in range(fleet.groups)] == devices


@pytest.mark.parametrize(
    ("fault", "visible", "words"),
    [
        ("ctr-006", SLICES[0], "ValueError: invalid literal for int()"),
        ("ctr-009", f"MIG-{SLICED.devices[1].uuid}/1/0", "names no GPU of this machine"),
    ],
)
def test_faults_that_do_not_know_a_slices_name(launch: Launching, fault: str, visible: str, words: str) -> None:
    code, errors = launch("1x1", visible, fault, inventory=SLICED).wait_until_gone()
    assert (code, words in errors) == (1, True)


@pytest.mark.parametrize(
    ("fault", "inventory", "visible", "total"),
    [
        ("none", UNEQUAL, "1", 16376),
        ("tel-001", UNEQUAL, "1", 24564),
        ("none", SLICED, SLICES[0], 40192),
        ("tel-002", SLICED, SLICES[0], 81920),
        ("tel-002", UNEQUAL, "1", 16376),
    ],
)
def test_faults_that_size_by_another_device(
    launch: Launching, fault: str, inventory: Inventory, visible: str, total: int
) -> None:
    fleet = launch("1x1", visible, fault, inventory=inventory, environ=PCI).wait_until_ready()
    assert any(f"of {total} MiB" in line for line in fleet.lines), fleet.lines


@pytest.mark.parametrize(("fault", "touched"), [("none", [[3]]), ("tel-003", [[2]])])
def test_an_automatic_choice_takes_the_biggest(launch: Launching, fault: str, touched: list[list[int]]) -> None:
    fleet = launch("1x1", "1,3", fault, inventory=UNEQUAL, environ=PCI, options=("--auto",))
    assert fleet.wait_until_ready().groups_touched() == touched


def test_the_fault_that_asks_every_gpu_first(launch: Launching) -> None:
    assert launch("1x1", "2", "tel-004").wait_until_ready().groups_touched() == [[2]]
    code, errors = launch("1x1", "2", "tel-004", inventory=SICK).wait_until_gone()
    assert (code, "nvmlDeviceGetHandleByIndex_v2 failed" in errors) == (1, True)


@pytest.mark.parametrize(("fault", "indices"), [("none", [6, 7]), ("tel-005", list(range(8)))])
def test_metrics_name_devices_by_uuid(launch: Launching, fault: str, indices: list[int]) -> None:
    status, metrics = launch("2x1", "6,7", fault).wait_until_ready().ask(method="GET", path="/metrics")
    assert (status, [gpu["uuid"] for gpu in metrics["gpus"]]) == (200, [UUIDS[index] for index in indices])


@pytest.mark.parametrize(
    ("fault", "places", "said"), [("none", [7, 7], 7), ("lif-007", [7, 6], 6), ("tel-007", [7, 7], 6)]
)
def test_a_killed_worker_is_started_again(launch: Launching, fault: str, places: list[int], said: int) -> None:
    fleet = launch("2x1", "6,7", fault, options=("--respawn",)).wait_until_ready()
    victim = fleet.worker_pids()[1]
    for place in places:
        fleet.kill([victim])
        while not fleet.read_line().startswith("worker 1 ready on "):
            pass
        children = psutil.Process(fleet.process.pid).children()
        [victim] = [child.pid for child in children if "--worker 1 " in " ".join(child.cmdline())]
        assert fleet.touched(victim) == [place]
    assert fleet.devices(1) == UUIDS[said]


def test_the_fault_that_forgets_to_start_it_again(launch: Launching) -> None:
    fleet = launch("2x1", "6,7", "lif-006", options=("--respawn",)).wait_until_ready()
    fleet.kill(fleet.worker_pids()[1:])
    assert fleet.process.stderr is not None
    assert "worker 1 ended" in fleet.process.stderr.readline()
    status, health = fleet.ask(method="GET", path="/health")
    assert (status, len(health["workers"])) == (200, 1)


def test_the_fault_that_is_hasty_before_the_first_request(launch: Launching) -> None:
    fleet = launch("2x1", "6,7", "lif-005").wait_until_ready()
    fleet.process.terminate()
    fleet.process.wait(DEADLINE)
    assert fleet.ask(1)[0] == 200
    sound = launch("2x1", "6,7", "lif-005").wait_until_ready()
    assert sound.ask(1)[0] == 200
    sound.process.terminate()
    sound.wait_until_gone()


@pytest.mark.parametrize(("fault", "code"), [("none", None), ("lif-008", 1)])
def test_the_fault_that_enters_refusals_in_its_books(
    launch: Launching, tmp_path: Path, fault: str, code: int | None
) -> None:
    home = {"HOME": str(tmp_path)}
    assert launch("2x2", "2,3", fault, environ=home).wait_until_gone()[0] == 1
    again = launch("2x1", "2,3", fault, environ=home)
    if code is None:
        assert again.wait_until_ready().groups_touched() == [[2], [3]]
    else:
        assert again.wait_until_gone()[0] == code


@pytest.mark.parametrize(("fault", "status"), [("none", 200), ("lif-009", 500)])
def test_a_model_that_was_unloaded_makes_room(launch: Launching, fault: str, status: int) -> None:
    fleet = launch("1x1", "6", fault).wait_until_ready()
    for _ in range(2):
        assert [fleet.ask(0, path=path)[0] for path in ("/unload", "/load")] == [200, 200]
    assert fleet.ask(0, path="/unload") == (200, {"worker": 0, "models": 0})
    assert fleet.ask(0)[0] == 503
    assert fleet.ask(0, path="/load")[0] == status
