"""A server on trial: its profile, its version, and what launches it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..inventory import DEFAULT_INVENTORY, REAL, Inventory, check_caller
from ..launch import Launcher, WitnessMaker
from ..masks import resolve
from ..profile import Profile, Unsupported, fill, load, version_of
from ..records import LaunchRecord, MaskAnswer, Scenario
from ..witness import check_attribution, usual_witness
from .evidence import missing_evidence, process_lines, unlike_its_command
from .subject import NotDescribed, Preparation

CONTROL_GROUPS = 2
"""The launch that shows whether the server runs at all: no mask, so many groups of one, if there are as many GPUs."""


@dataclass(frozen=True)
class ServerSubject:
    """One version of one server. ``source`` is what the user gave for --gpu-server."""

    profile: Profile
    source: str
    version: str
    launcher: Launcher
    inventory: str
    inventory_is_chosen: bool
    family: Literal["server"] = "server"
    simulated: bool = True
    hardware: Inventory | None = None

    @property
    def name(self) -> str:
        return self.profile.product.name

    @property
    def url(self) -> str:
        return self.profile.product.url

    @property
    def unsupported(self) -> Sequence[Unsupported]:
        return self.profile.unsupported

    @property
    def first_step(self) -> str:
        return f"starting {self.name} {self.version} once without a mask, to see that it runs"

    def control(self) -> str:
        if self.hardware is not None:
            check_attribution(self.hardware)
        record = self.launcher.launch(self._control_scenario)
        if record.outcome in ("timeout", "waiting"):
            raise NotDescribed(self._never_ready(record))
        refused = next((answer for answer in record.requests.values() if answer != "answered"), "")
        if record.outcome == "unanswered" or refused:
            raise NotDescribed(
                f"{self.name} {self.version} was ready, and did not answer what [server].request of the profile"
                f" {self.source} asks: {refused}. Correct the request, or choose another sign in [server].ready."
            )
        machine = self.machine(self.inventory)
        missing = missing_evidence(record, self.profile) or unlike_its_command(record, self.profile)
        if missing:
            seen = "\n  ".join(process_lines(record, machine))
            raise NotDescribed(
                f"{self.name} {self.version} was ready after {record.seconds:.1f} s, and the profile {self.source} does"
                f" not describe what was there: {missing}. Correct [workers], or [server].ready where it comes too"
                f" early; docs/new-server.md says how. Seen:\n  {seen}"
            )
        lines = [f"  {line}" for line in process_lines(record, machine)] if record.ready else []
        return "\n".join([f"{record.outcome} after {record.seconds:.1f} s", *lines])

    @property
    def _control_scenario(self) -> Scenario:
        """What the machine has room for: a server that refuses for another reason than a mask says nothing of masks."""
        there = len(resolve(None, self.machine(self.inventory)).devices)
        few = max(1, min(CONTROL_GROUPS, there))
        layouts = {"groups": (few, 1), "devices": (1, few), "visible": (1, max(1, there))}
        groups, devices = layouts[self.profile.division]
        return Scenario(inventory=self.inventory, groups=groups, devices=devices)

    def machine(self, name: str) -> Inventory:
        return self.hardware if self.hardware is not None and name == REAL else self.launcher.find(name)

    @property
    def preparation(self) -> Preparation:
        profile = self.launcher.profile
        values = profile.values(groups=0, devices=0, port=0)
        return Preparation(tuple(fill(word, values) for word in profile.server.prepare), self.launcher.scratch)

    def launches(self) -> Mapping[str, LaunchRecord]:
        return self.launcher.records()

    def answers(self) -> Mapping[str, MaskAnswer]:
        return {}

    def _never_ready(self, record: LaunchRecord) -> str:
        lines = record.stderr.splitlines() + record.stdout.splitlines()
        words = next((line for line in reversed(lines) if line.strip()), "nothing")
        return (
            f"{self.name} {self.version} never became ready: {record.seconds:.0f} s after `{' '.join(record.command)}`"
            f" not every worker had answered a request (ready_deadline of the profile {self.source}). It last wrote:"
            f" {words.strip()[:200]}. Check [server].request and [workers] of the profile, or give the server longer by"
            " ready_deadline."
        )


def open_server(
    source: str,
    chosen: str,
    directory: Path,
    version: str | None,
    *,
    find_profile: Callable[[str], Profile] = load,
    find_inventory: Callable[[str], Inventory] = Inventory.load,
    witness: WitnessMaker = usual_witness,
) -> ServerSubject:
    """The server of --gpu-server=``source`` on --gpu-inventory=``chosen`` (empty: not given).

    ``version``: as asked before by another process of the session. ``find_profile``, ``find_inventory``: find them by
    the names of the options. ``witness``: makes that of a launch.

    :raises UserError: the profile is missing or malformed, the server does not say its version, or ``real`` is chosen
        and cannot be had.
    """
    profile = find_profile(source)
    hardware = None
    if chosen == REAL:
        check_caller(os.environ)
        hardware = Inventory.from_nvml()
    elif chosen:
        find_inventory(chosen)
    return ServerSubject(
        profile=profile,
        source=source,
        version=version if version is not None else version_of(profile),
        launcher=Launcher(profile, directory, witness, find_inventory, hardware),
        inventory=chosen or DEFAULT_INVENTORY,
        inventory_is_chosen=bool(chosen),
        simulated=hardware is None,
        hardware=hardware,
    )
