"""The witness of a real machine: NVML's process lists, sampled while a server runs, and /proc.

NVML says which processes have a context on a device now, and nothing of those that had one before. So the lists are
read through the whole run, and at each of its steps. A process that opens and closes a context between two looks is
missed; nothing is ever attributed that the driver did not list.

A list without a process that is known to hold a context proves nothing: NVML gives pids of the host's namespace, which
mean nothing, or something else, in a container. :func:`check_attribution` is the positive control.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ..environment import MASKS, RUN_VARIABLE
from ..errors import UserError
from ..host import procfs
from ..inventory import Inventory, driver_client, uuid_digits
from ..records import Account, Evidence
from ..simulator import probe
from .base import ProcessRef

PERIOD = 0.05
"""Seconds between two looks at NVML's lists. Making a context takes a real driver several times as long."""
CONTROL_LIMIT = 120.0
"""Seconds in which the positive control must have opened a context on every device it sees."""


@dataclass
class Sighting:
    """A process that NVML listed: the mark of the run it belongs to, and when (seconds since the epoch) it was first
    seen on which device, in that order.
    """

    mark: str
    touched: dict[str, float] = field(default_factory=dict)


class ProcessLists:
    """NVML's lists of the processes that compute on each GPU, and on each MIG slice of those that have slices.

    ``seen``: (pid, start in clock ticks after boot) -> what was seen of it. ``nameless``: how many pids were listed of
    which /proc knows nothing. ``refused``: UUID -> why NVML does not list its processes.
    """

    def __init__(self, hardware: Inventory) -> None:
        """:raises UserError: NVML does not answer."""
        self._nvml: Any = import_module("pynvml")
        self._units = {}
        self._lock = threading.Lock()
        self.seen: dict[tuple[int, int], Sighting] = {}
        self.nameless = 0
        self.refused: dict[str, str] = {}
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            raise UserError(f"No NVIDIA driver answers on this machine any more ({error}).") from None
        # A GPU with slices lists the processes of all of them once more.
        cut = {part.parent_uuid for device in hardware.devices for part in device.mig}
        for unit in hardware.units:
            if unit.uuid in cut:
                continue
            with contextlib.suppress(self._nvml.NVMLError):
                self._units[unit.uuid] = self._nvml.nvmlDeviceGetHandleByUUID(unit.uuid)

    def close(self) -> None:
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()

    def look(self) -> None:
        """Note who is listed now."""
        with self._lock:
            for uuid, handle in self._units.items():
                try:
                    listed = self._list(handle)
                except self._nvml.NVMLError as error:
                    self.refused[uuid] = str(error)
                    continue
                for entry in listed:
                    self._note(uuid, int(entry.pid))

    def _list(self, handle: object) -> list[Any]:
        """Drivers before R510 have only the second version of the function."""
        newest: Callable[[object], list[Any]] = self._nvml.nvmlDeviceGetComputeRunningProcesses_v3
        try:
            return newest(handle)
        except self._nvml.NVMLError_FunctionNotFound:
            found: list[Any] = self._nvml.nvmlDeviceGetComputeRunningProcesses_v2(handle)
            return found

    def _note(self, uuid: str, pid: int) -> None:
        found = procfs.stat(pid)
        if found is None:
            self.nameless += 1
            return
        identity = pid, found.start_time
        if identity not in self.seen:
            self.seen[identity] = Sighting(procfs.environ(pid).get(RUN_VARIABLE, ""))
        self.seen[identity].touched.setdefault(uuid, time.time())


class NvmlWitness:
    """Watches from its making to :meth:`close`; a context manager. ``hardware``: the machine's own GPUs."""

    def __init__(self, hardware: Inventory) -> None:
        self._hardware = hardware
        self._lists = ProcessLists(hardware)
        self._uuids = {uuid_digits(unit.uuid): unit.uuid for unit in hardware.units}
        self._probed: dict[tuple[tuple[str, str], ...], tuple[str, ...]] = {}
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="NVML process lists", daemon=True)
        self._thread.start()

    def __enter__(self) -> NvmlWitness:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._lists.close()

    def _watch(self) -> None:
        try:
            while not self._ended.wait(PERIOD):
                self._lists.look()
        except BaseException as error:
            self._failure = error

    def look(self) -> None:
        """Look now: something has just happened to the server, or is about to.

        :raises RuntimeError: the watching has failed.
        """
        if self._failure is not None:
            raise RuntimeError("reading NVML's process lists failed") from self._failure
        self._lists.look()

    def accounts(self, processes: Iterable[ProcessRef]) -> dict[int, Account]:
        """One account per pid: *touched* only where NVML listed the process, else what the driver would show it."""
        self.look()
        return {process.pid: self._account(process) for process in processes}

    def touching(self, processes: Iterable[ProcessRef]) -> set[int]:
        """Those that were listed so far."""
        return {process.pid for process in processes if (process.pid, process.start) in self._lists.seen}

    def unknown_processes(self, known: Iterable[ProcessRef]) -> dict[int, Account]:
        """Listed processes that carry the mark of the same run, and were gone before /proc was looked through."""
        known = list(known)
        identities = {(process.pid, process.start) for process in known}
        marks = {mark for process in known if (mark := process.environ.get(RUN_VARIABLE))}
        return {
            identity[0]: Account(
                Evidence.TOUCHED, touched=tuple(sighting.touched), touched_at=tuple(sighting.touched.values())
            )
            for identity, sighting in list(self._lists.seen.items())
            if identity not in identities and sighting.mark in marks
        }

    def _account(self, process: ProcessRef) -> Account:
        sighting = self._lists.seen.get((process.pid, process.start))
        shown = self._shown(process.environ) if process.environ else None
        mask, order = (process.environ.get(name) for name in MASKS)
        if sighting is None:
            return Account(Evidence.NONE if shown is None else Evidence.PROBED, (), shown, mask, order)
        touched = tuple(sighting.touched)
        # What a process sets in its own environment after its exec is hidden from /proc: then the probe knows nothing.
        known = shown if shown and set(touched) <= set(shown) else None
        return Account(Evidence.TOUCHED, touched, known, mask, order, touched_at=tuple(sighting.touched.values()))

    def _shown(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Asked of the driver from a process that is started with this environment."""
        key = tuple(sorted(item for item in environ.items() if item[0] != RUN_VARIABLE))
        if key not in self._probed:
            devices = probe(environ).devices
            self._probed[key] = tuple(self._uuids.get(uuid_digits(device.uuid), device.uuid) for device in devices)
        return self._probed[key]


def check_attribution(hardware: Inventory) -> str:
    """Open a context on every device that CUDA shows, and see that NVML lists this very process on each of them.

    :raises UserError: it does not, so that an empty list would prove nothing.
    """
    lists = ProcessLists(hardware)
    try:
        with _control() as (pid, opened):
            found = procfs.stat(pid)
            lists.look()
            sighting = lists.seen.get((pid, found.start_time if found else 0))
    finally:
        lists.close()
    names = {uuid_digits(unit.uuid): unit.uuid for unit in hardware.units}
    missing = [uuid for word in opened if (uuid := names.get(word, word)) not in (sighting.touched if sighting else ())]
    if missing or not opened:
        raise UserError(_not_attributed(lists, opened, missing))
    return f"NVML lists a process of ours on each of the {len(opened)} devices that it opened"


def _not_attributed(lists: ProcessLists, opened: list[str], missing: list[str]) -> str:
    if not opened:
        return (
            "--gpu-inventory=real: no context could be opened on any GPU of this machine. See that another CUDA program"
            " runs here, and that no GPU is in exclusive use."
        )
    why = "; ".join(dict.fromkeys(lists.refused.values()))
    if not why:
        why = "it lists pids that /proc does not know" if lists.nameless else "its list does not have it"
    return (
        f"--gpu-inventory=real: a process of ours holds a context on {missing[0]}, and NVML does not say so ({why})."
        " Nothing could be proved here. In a container, pids are those of the host: start it with --pid=host."
    )


@contextlib.contextmanager
def _control() -> Iterator[tuple[int, list[str]]]:
    """A process with a context on each device: its pid, and the bytes of their UUIDs."""
    with subprocess.Popen(
        driver_client.command("open"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={name: value for name, value in os.environ.items() if name not in MASKS},
    ) as control:
        guard = threading.Timer(CONTROL_LIMIT, control.kill)
        guard.start()
        try:
            assert control.stdout is not None
            lines = iter(control.stdout.readline, "")
            opened = [line.strip() for line in iter(lambda: next(lines, "done\n"), "done\n")]
            yield control.pid, opened
        finally:
            guard.cancel()
            control.kill()
