"""What rules expect of the processes of a fleet towards each other: whose device is whose. As in :mod:`.expect`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_gpuvisibility.masks import resolve
from pytest_gpuvisibility.records import LaunchRecord, ProcessRecord
from pytest_gpuvisibility.suite import MUST, DoesNotApply

from .expect import MEMBERS, groups, violation
from .launch import Gpus

NOTHING_OPENED = "no process opened a device, so nobody can say which one would"


def needs_opened_devices(fleet: LaunchRecord) -> None:
    """:raises DoesNotApply: no process of the fleet touched any device."""
    if not any(process.touched for process in fleet.processes):
        raise DoesNotApply(NOTHING_OPENED)


def assert_nothing_leaks(fleet: LaunchRecord, gpus: Gpus) -> None:
    """No process of a group has touched a device, until its end, that the group did not have when it was ready."""
    own = groups(fleet)
    for process in fleet.processes:
        if process.role in MEMBERS and process.group in own:
            leaked = set(process.touched) - own[process.group]
            if leaked:
                raise violation(
                    fleet,
                    "opens a device that is not its group's",
                    f"{_name(process)} has {gpus.indices(own[process.group])}, and then touches {gpus.indices(leaked)}",
                )


def assert_only_workers_open_devices(fleet: LaunchRecord, gpus: Gpus, *, allowed: bool) -> None:
    """No process outside the groups touched a device. With ``allowed``, one of a group's at most."""
    own = {uuid for devices in groups(fleet).values() for uuid in devices}
    for process in fleet.processes:
        if process.group is None and process.role != "worker" and process.touched:
            beyond = set(process.touched) - own
            if beyond:
                raise violation(
                    fleet,
                    "opens a device that no group has in a process that is no worker",
                    f"{_name(process)} touches {gpus.indices(beyond)}",
                    level=MUST,
                )
            if not allowed:
                raise violation(
                    fleet,
                    "opens a device in a process that is no worker",
                    f"{_name(process)} touches {gpus.indices(process.touched)}",
                )


def assert_masks_are_not_set_late(fleet: LaunchRecord, gpus: Gpus) -> None:
    """No process had another mask when it opened a device than cuInit had read: one that means other devices."""
    for process in fleet.processes:
        account = process.account
        for visible, order in account.remasked:
            meant = [device.uuid for device in resolve(visible, gpus.inventory, device_order=order).devices]
            if process.shown is not None and meant != list(process.shown):
                raise violation(
                    fleet,
                    "sets a mask after CUDA has read it",
                    f"{_name(process)}: cuInit read {_quoted(account.visible)} and shows {gpus.indices(process.shown)};"
                    f" at its first context the mask was {_quoted(visible)}, which would be {gpus.indices(meant)}",
                )


def assert_apart(one: LaunchRecord, other: LaunchRecord, gpus: Gpus) -> None:
    """No device is used by both of two servers."""
    shared = _used(one) & _used(other)
    if shared:
        raise violation(
            one,
            "two servers meet on one GPU",
            f"both use {gpus.indices(shared)}; the first was given {gpus.indices(one.permitted)},"
            f" the second {gpus.indices(other.permitted)}",
        )


def assert_second_model_apart(fleet: LaunchRecord, gpus: Gpus) -> None:
    """No device is touched by two groups, nor by a group and a worker that came later."""
    holders: dict[str, ProcessRecord] = {}
    for process in fleet.processes:
        if process.role == "worker" or (process.role in MEMBERS and process.group is not None):
            for uuid in process.touched:
                first = holders.setdefault(uuid, process)
                if _party(first) != _party(process):
                    raise violation(
                        fleet,
                        "puts a second model on another group's device",
                        f"{_name(first)} and {_name(process)} both touch {gpus.indices([uuid])}",
                    )


def assert_peers_in_group(fleet: LaunchRecord, gpus: Gpus) -> None:
    """No worker reached a device of another group, or of none, from one of its own.

    :raises DoesNotApply: the witness cannot see that.
    """
    own = groups(fleet)
    for worker in fleet.workers:
        if worker.account.peers is None:
            raise DoesNotApply("on this machine nobody can see who reaches whose memory")
        beyond = set(worker.account.peers) - own[worker.group]
        if beyond:
            raise violation(
                fleet,
                "connects a device of one group with one outside it",
                f"{_name(worker)} has {gpus.indices(own[worker.group])}, and reaches {gpus.indices(beyond)}",
            )


def _used(fleet: LaunchRecord) -> set[str]:
    """All that any process touched, and what workers are bound to."""
    return set(_each_use(fleet, fleet.processes))


def _each_use(fleet: LaunchRecord, processes: Iterable[ProcessRecord]) -> Iterator[str]:
    for process in processes:
        yield from process.touched
        if process.role == "worker":
            yield from process.uses(fleet.scenario.devices) or ()


def _party(process: ProcessRecord) -> object:
    """The group, or the process itself where it is in none."""
    return ("group", process.group) if process.group is not None else ("process", process.pid)


def _name(process: ProcessRecord) -> str:
    group = "" if process.group is None else f" {process.group}"
    return f"{process.role}{group} (process {process.pid})"


def _quoted(visible: str | None) -> str:
    return "no mask" if visible is None else f"{visible!r}"
