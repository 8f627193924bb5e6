"""Where scenarios are played: each once a session, on a machine made for it or on the machine's own GPUs.

The first test that asks launches, the others read its record, in whichever pytest-xdist worker they run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ..inventory.model import Inventory
from ..inventory.real import RealMachine
from ..profile import files as profiles
from ..profile.files import Profile
from ..records import Fleet, Scenario
from ..simulator.machine import Machine
from ..witness.base import Witness, optional
from ..witness.usual import usual_witness
from .actions import Scene
from .server_run import Accounts, Performance, Stage

Witnesses = Callable[[Machine | RealMachine], Witness]
"""What makes the witness of a launch."""
PATIENCE = 4.0
"""A launch may take so many times as long as the slowest one that became ready, whatever the profile's deadline: on a
busy machine all of them are slow, and slow is no violation."""


class Theatre:
    """Plays scenarios, each once, for one server and one session.

    ``room`` is a directory that all pytest-xdist workers of the session share.
    """

    def __init__(
        self,
        profile: Profile,
        room: Path,
        witness: Witnesses = usual_witness,
        find: Callable[[str], Inventory] = Inventory.load,
        hardware: Inventory | None = None,
    ) -> None:
        """``hardware``: this machine's own GPUs, for scenarios on the inventory ``real``."""
        self.scratch = room / "scratch"
        self.profile = profile.with_scratch(self.scratch)
        self.room = room
        self.witness = witness
        self.find = find
        self.hardware = hardware

    def prepare(self) -> None:
        """Run the profile's ``prepare`` if no process of the session has, before the first launch.

        :raises UserError: it fails; the next launch tries again.
        """
        command, done = self.profile.server.prepare, self.room / "prepared"
        with _alone(done.with_suffix(".lock")):
            if command and not done.exists():
                self.scratch.mkdir(exist_ok=True)
                # Not in the caller's directory: `python -m` would take a package there for the installed one.
                limit = profiles.PREPARE_LIMIT
                profiles.run(self.profile, command, "[server].prepare", limit, directory=self.scratch)
                done.touch()

    def play(self, scenario: Scenario) -> Fleet:
        """The fleet of ``scenario``, launched now or earlier in the session, here or in another process."""
        self.prepare()
        record = self.room / f"{scenario.key}.json"
        with _alone(record.with_suffix(".lock")):
            if not record.exists():
                fleet = self._play(scenario)
                if fleet.ready:
                    self._note(fleet.seconds)
                _write_whole(record, fleet)
            return Fleet.from_dict(json.loads(record.read_text()))

    def _play(self, scenario: Scenario) -> Fleet:
        directory = self.room / scenario.key
        if self.hardware is None:
            return play(scenario, self.patient_profile, directory, self.witness, self.find)
        with _alone(self.room / "hardware.lock"):  # all launches share the memory of the same devices
            return play(scenario, self.patient_profile, directory, self.witness, hardware=self.hardware)

    @property
    def patient_profile(self) -> Profile:
        """The profile, with a longer ``ready_deadline`` where launches have been slow."""
        server = self.profile.server
        deadline = max(server.ready_deadline, PATIENCE * self._slowest)
        return dataclasses.replace(self.profile, server=dataclasses.replace(server, ready_deadline=deadline))

    @property
    def _slowest(self) -> float:
        """Seconds that the slowest launch of the session took to become ready; 0 before there is one."""
        try:
            return float((self.room / "slowest").read_text() or 0)
        except FileNotFoundError:
            return 0.0

    def _note(self, seconds: float) -> None:
        with _alone(self.room / "slowest.lock"):
            if seconds > self._slowest:
                draft = self.room / "slowest.draft"
                draft.write_text(str(seconds))
                os.replace(draft, self.room / "slowest")

    def fleets(self) -> dict[str, Fleet]:
        """All fleets so far, by their scenario's key."""
        return {path.stem: Fleet.from_dict(json.loads(path.read_text())) for path in sorted(self.room.glob("*.json"))}


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While no other process of the session does the same."""
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_whole(path: Path, fleet: Fleet) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(fleet.as_dict()))
    os.replace(draft, path)


def play(
    scenario: Scenario,
    profile: Profile,
    directory: Path,
    witness: Witnesses = usual_witness,
    find: Callable[[str], Inventory] = Inventory.load,
    hardware: Inventory | None = None,
) -> Fleet:
    """Launch the server, watch it, end it, and leave nothing behind.

    ``hardware``: this machine's own GPUs, to launch it on these instead of a simulated machine.
    """
    directory.mkdir()
    with contextlib.ExitStack() as stack:
        machine: Machine | RealMachine
        if hardware is not None:
            machine = RealMachine(hardware)
        else:
            machine = stack.enter_context(_simulated(scenario, profile, directory / "machine", find))
        seer = witness(machine)
        stack.callback(optional(seer, "close"))
        first = Performance(Stage.reserve(scenario, profile, machine, directory, seer, stack), stack)
        first.begin()
        others: list[Performance] = []

        def start_beside(visible: str) -> str:
            second = dataclasses.replace(scenario, visible=visible, acts=(), ending="stop")
            stage = Stage.reserve(second, profile, machine, directory / "beside", seer, stack)
            others.append(Performance(stage, stack))
            others[-1].begin()
            kind = others[-1].outcome.kind
            return "" if kind == "ready" else f"the second server: {kind}"

        first.act(Scene(first.server, start_beside))
        accounts = Accounts(seer, [one.server for one in (first, *others)])
        beside = tuple(other.end(accounts) for other in others)
        return dataclasses.replace(first.end(accounts), beside=beside, skipped_launches=machine.launches()[0])


def _simulated(scenario: Scenario, profile: Profile, directory: Path, find: Callable[[str], Inventory]) -> Machine:
    inventory = find(scenario.inventory).with_faults(scenario.faults)
    return Machine.create(inventory, directory, launch=profile.server.launch, questions=True)
