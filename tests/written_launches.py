"""Launches that are written down by hand, for the tests of what rules expect of them: nothing is launched."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from pytest_gpuvisibility.conformance.launch import Gpus

from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.records import Account, Evidence, LaunchRecord, ProcessRecord, Scenario
from pytest_gpuvisibility.suite import Violation

GPUS = Gpus(Inventory.load("a100x8"), "a100x8")
UUIDS = tuple(device.uuid for device in GPUS.devices)
READY = 100.0


def uuids(indices: str) -> tuple[str, ...]:
    """The devices with these indices, one digit each."""
    return tuple(UUIDS[int(index)] for index in indices)


def process(role: str, group: int | None, early: str = "", late: str = "", **facts: Any) -> ProcessRecord:
    """One that touched the devices ``early`` before its server was ready, and ``late`` after.

    It is shown what it touched, unless ``facts`` say otherwise.
    """
    touched = uuids(early + late)
    account = Account(
        Evidence.TOUCHED if touched else Evidence.PROBED,
        touched,
        shown=touched,
        touched_at=(READY - 1,) * len(early) + (READY + 1,) * len(late),
        peers=(),
    )
    pid = 10 if group is None else 20 + group
    names = ("pid", "ppid", "argv", "told_by")
    own = {"pid": pid, "ppid": 1, "argv": (), **{name: facts.pop(name) for name in names if name in facts}}
    return ProcessRecord(**own, role=role, group=group, account=dataclasses.replace(account, **facts))


def launched(*processes: ProcessRecord, visible: str = "4,5,6,7", **what: Any) -> LaunchRecord:
    """A launch of two groups of one device that became ready, where ``what`` does not say otherwise."""
    plain = LaunchRecord(
        scenario=Scenario(visible=visible, groups=2, devices=1),
        command=(),
        permitted=uuids(visible.replace(",", "")),
        began=0.0,
        outcome="ready",
        seconds=1.0,
        exit_code=None,
        processes=processes,
        requests={},
        final_exit_code=0,
        farewell_seconds=0.0,
        survivors=(),
        reports_ready=False,
        settled=READY,
    )
    return dataclasses.replace(plain, **what)


def refused(stderr: str = "", **what: Any) -> LaunchRecord:
    """One that ended with exit code 1 and left nothing."""
    return launched(**{"outcome": "exited", "exit_code": 1, "stderr": stderr, **what})


def violation_of(assertion: Callable[..., object], *arguments: Any, **named: Any) -> Violation:
    """What an assertion raises, which it must."""
    with pytest.raises(Violation) as caught:
        assertion(*arguments, **named)
    return caught.value
