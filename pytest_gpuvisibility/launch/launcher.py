"""Launch scenarios, each once a session, on a machine made for it or on the machine's own GPUs.

The first test that asks launches, the others read its record, in whichever pytest-xdist worker they run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..host import exclusive, written_whole
from ..inventory import Inventory, RealMachine
from ..plain import from_plain, to_plain
from ..profile import Profile, prepare
from ..records import LaunchRecord, Scenario
from ..simulator import Machine
from ..witness import Witness, optional, usual_witness
from .actions import ActionContext
from .server_run import Accounts, ExpectedWorkers, LaunchSite, ServerRun

WitnessMaker = Callable[[Machine | RealMachine], Witness]
"""What makes the witness of a launch."""
SETTLE = 10.0
"""Seconds, at least, in which every worker must have shown itself once all requests have been answered; more where a
launch has been slow."""
ROOM = 4 << 20
"""Bytes that a simulated machine needs at least for what a launch does to its state."""
DEADLINE_FACTOR = 4.0
"""A launch may take so many times as long as the slowest one that became ready, whatever the profile's deadline: on a
busy machine all of them are slow, and slow is no violation."""


class Launcher:
    """Launches scenarios, each once, for one server and one session.

    ``directory`` is shared by all pytest-xdist workers of the session.
    """

    def __init__(
        self,
        profile: Profile,
        directory: Path,
        witness: WitnessMaker = usual_witness,
        find: Callable[[str], Inventory] = Inventory.load,
        hardware: Inventory | None = None,
    ) -> None:
        """:param find: finds an inventory by its name.
        :param hardware: this machine's own GPUs, for scenarios on the inventory ``real``.
        """
        self.scratch = directory / "scratch"
        self.profile = profile.with_scratch(self.scratch)
        self.directory = directory
        self.find = find
        self.hardware = hardware
        self._witness = witness

    def prepare(self) -> None:
        """Run the profile's ``prepare`` if no process of the session has, before the first launch.

        :raises UserError: it fails; the next launch tries again.
        """
        done = self.directory / "prepared"
        with exclusive(done.with_suffix(".lock")):
            if self.profile.server.prepare and not done.exists():
                self.scratch.mkdir(exist_ok=True)
                # Not in the caller's directory: `python -m` would take a package there for the installed one.
                prepare(self.profile, self.scratch)
                done.touch()

    def launch(self, scenario: Scenario) -> LaunchRecord:
        """The record of ``scenario``, launched now or earlier in the session, here or in another process.

        A process that asks while another one launches it waits for that.
        """
        self.prepare()
        path = self.directory / f"{scenario.key}.json"
        with exclusive(path.with_suffix(".lock")):
            if not path.exists():
                record = self._launch(scenario)
                if record.ready:
                    self._note(record.seconds)
                    self._note_touch(record)
                with written_whole(path) as draft:
                    draft.write_text(json.dumps(to_plain(record)))
            return _read(path)

    def _launch(self, scenario: Scenario) -> LaunchRecord:
        with contextlib.ExitStack() as stack:
            if self.hardware is not None:  # all launches share the memory of the same devices
                stack.enter_context(exclusive(self.directory / "hardware.lock"))
            directory = self.directory / scenario.key
            directory.mkdir()
            machine = RealMachine(self.hardware) if self.hardware else self._simulated(scenario, directory, stack)
            return launch_once(scenario, self.with_longer_deadline, machine, directory, self._witness, self.expected)

    def _simulated(self, scenario: Scenario, directory: Path, stack: contextlib.ExitStack) -> Machine:
        inventory = self.find(scenario.inventory).with_faults(scenario.faults)
        kernel_launches = self.profile.server.launch
        machine = Machine.create(inventory, directory / "machine", kernel_launches=kernel_launches, questions=True)
        return stack.enter_context(machine)

    @property
    def with_longer_deadline(self) -> Profile:
        """The profile, with a longer ``ready_deadline`` where launches have been slow."""
        server = self.profile.server
        deadline = max(server.ready_deadline, DEADLINE_FACTOR * self._slowest)
        return dataclasses.replace(self.profile, server=dataclasses.replace(server, ready_deadline=deadline))

    @property
    def expected(self) -> ExpectedWorkers:
        """The first launch is waited for as long as any: it shows how long is enough."""
        slowest = self._slowest
        deadline = self.with_longer_deadline.server.ready_deadline
        settle = min(deadline, max(SETTLE, DEADLINE_FACTOR * slowest)) if slowest else deadline
        return ExpectedWorkers(settle, touch=(self.directory / "touched").exists())

    def _note_touch(self, record: LaunchRecord) -> None:
        """Workers that all have touched a device are an example to those of later launches."""
        groups = {process.group for process in record.processes if process.touched}
        if groups.issuperset(range(record.scenario.groups)) and record.scenario.groups:
            (self.directory / "touched").touch()

    @property
    def _slowest(self) -> float:
        """Seconds that the slowest launch of the session took to become ready; 0 before there is one."""
        try:
            return float((self.directory / "slowest").read_text() or 0)
        except FileNotFoundError:
            return 0.0

    def _note(self, seconds: float) -> None:
        with exclusive(self.directory / "slowest.lock"):
            if seconds > self._slowest:
                with written_whole(self.directory / "slowest") as draft:
                    draft.write_text(str(seconds))

    def records(self) -> dict[str, LaunchRecord]:
        """Of all launches so far, by their scenario's key."""
        return {path.stem: _read(path) for path in sorted(self.directory.glob("*.json"))}


def _read(path: Path) -> LaunchRecord:
    return from_plain(LaunchRecord, json.loads(path.read_text()))


def launch_once(
    scenario: Scenario,
    profile: Profile,
    machine: Machine | RealMachine,
    directory: Path,
    witness: WitnessMaker = usual_witness,
    expected: ExpectedWorkers | None = None,
) -> LaunchRecord:
    """Launch the server on ``machine``, watch it, end it, and leave nothing behind but in ``directory``."""
    with contextlib.ExitStack() as stack:
        observer = witness(machine)
        stack.callback(optional(observer, "close"))
        expected = expected or ExpectedWorkers(SETTLE)
        first = ServerRun(LaunchSite.reserve(scenario, profile, machine, directory, observer, expected, stack), stack)
        first.begin()
        others: list[ServerRun] = []

        def start_beside(visible: str) -> str:
            second = dataclasses.replace(scenario, visible=visible, actions=(), ending="stop")
            site = LaunchSite.reserve(second, profile, machine, directory / "beside", observer, expected, stack)
            others.append(ServerRun(site, stack))
            others[-1].begin()
            kind = others[-1].outcome.kind
            return "" if kind == "ready" else f"the second server: {kind}"

        first.act(ActionContext(first.server, start_beside))
        accounts = Accounts(observer, [one.server for one in (first, *others)])
        beside = tuple(other.end(accounts) for other in others)
        skipped, _ = machine.kernel_launches()
        record = dataclasses.replace(first.end(accounts), beside=beside, skipped_kernel_launches=skipped)
        if not record.ready:
            _check_room(directory)
        return record


def _check_room(directory: Path) -> None:
    """Where a simulated machine has no room left for its state, its driver fails, and no server is to blame for that.

    :raises OSError: there is none.
    """
    with tempfile.TemporaryFile(dir=directory) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, ROOM)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(directory)) from None
