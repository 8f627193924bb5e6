"""Who may hold which device: leases that all pytest runs and workers of one user on one machine respect.

A lease is a locked file for each of its devices. The kernel lets go of the locks however their owner dies, so nothing
is lost and nothing needs a server. Whoever waits stands in a queue, which is made of locked files too: all devices of
a request are taken together when it comes first, so that a request for many is not starved by requests for one.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from .environment import printable
from .errors import UserError
from .host import LockFile
from .inventory import AnyDevice, MigDevice, label

POLL = 0.01
"""Seconds between two looks of whoever waits. flock has no time-out, and no way to wait for any of several files."""
PATIENCE = 1.0
"""Seconds between two questions who else uses the devices."""

InUse = Mapping[str, str]
"""UUID -> who uses the device without a lease, for people."""


class TooFewDevices(UserError):
    """More devices are asked for than are permitted at all: waiting does not help."""


class LeaseTimeout(Exception):
    """The devices were not free in time. ``str()`` says who holds them."""


@dataclass(frozen=True)
class Claim:
    """What somebody wants to have: ``count`` devices, of those in ``among``; None: of all that are permitted."""

    count: int
    among: tuple[AnyDevice, ...] | None = None


class Lease:
    """Devices that nobody else who asks an office for them gets, until :meth:`release` or the process's death.

    ``scope`` is for those who divide ``devices`` among themselves: their :class:`LeaseOffice` takes it, and so does not
    wait for the very lease that it lives on.
    """

    def __init__(self, devices: tuple[AnyDevice, ...], locks: Sequence[LockFile]) -> None:
        self.devices = devices
        self.scope = secrets.token_hex(8)
        self._locks = locks

    def release(self) -> None:
        """Give the devices back; a second call does nothing."""
        locks, self._locks = self._locks, ()
        for lock in locks:
            lock.release()

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class LeaseOffice:
    """Hands out ``devices``, and never another, in agreement with all offices that use the same directory and scope.

    :param devices: the permitted ones, in CUDA's order.
    :param directory: of the locks; made when it is not there. One for each machine.
    :param occupied: says who uses devices without a lease; those are not handed out meanwhile.
    """

    def __init__(
        self,
        devices: Sequence[AnyDevice],
        directory: Path,
        scope: str = "machine",
        occupied: Callable[[], InUse] = dict,
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.devices = tuple(devices)
        self.in_use: InUse = {}
        self._directory = directory
        self._scope = scope
        self._occupied = occupied

    def take(self, count: int, timeout: float, first: int = 0, among: Collection[AnyDevice] | None = None) -> Lease:
        """Wait at most ``timeout`` seconds for ``count`` devices: GPUs or MIG slices, both where it asks for all.

        ``first`` is the position of the device to begin with where there is a choice. ``among``: only these of the
        permitted ones. The lease's devices are in the order of the permitted ones.

        :raises TooFewDevices: so many are not permitted.
        :raises LeaseTimeout: so many were not free in time.
        """
        if count == 0:
            return Lease((), ())
        choices = self._choices(count, first, self.devices if among is None else among)
        now = time.monotonic()
        deadline, look_at = now + timeout, now
        with self._ticket() as ticket:
            while True:
                if time.monotonic() >= look_at:
                    self.in_use, look_at = self._occupied(), time.monotonic() + PATIENCE
                lease = self._try(choices, count) if self._is_first(ticket) else None
                if lease is not None:
                    return lease
                if time.monotonic() >= deadline:
                    raise LeaseTimeout(self._why(count, timeout))
                time.sleep(POLL)

    def _choices(self, count: int, first: int, among: Collection[AnyDevice]) -> list[tuple[AnyDevice, ...]]:
        """Groups of devices to choose ``count`` from. GPUs and some slices of another cannot be put into one mask."""
        if count == len(self.devices):
            return [self.devices]
        turned = tuple(device for device in self.devices[first:] + self.devices[:first] if device in among)
        slices = tuple(device for device in turned if isinstance(device, MigDevice))
        gpus = tuple(device for device in turned if not isinstance(device, MigDevice))
        choices: list[tuple[AnyDevice, ...]] = [group for group in (gpus, slices) if len(group) >= count]
        if not choices:
            kind = " of one kind" if gpus and slices and count < len(self.devices) else ""
            most = max(len(gpus), len(slices)) if kind else len(turned)
            raise TooFewDevices(f"needs {_gpus(count)}, but only {most}{kind} {'is' if most == 1 else 'are'} permitted")
        return choices

    def _try(self, choices: Sequence[Sequence[AnyDevice]], count: int) -> Lease | None:
        """All or none, so that two who try at once cannot wait for each other."""
        for group in choices:
            taken: dict[str, LockFile] = {}
            for device in group:
                if device.uuid in self.in_use:
                    continue
                lock = LockFile.acquire(self._path(device)) if len(taken) < count else None
                if lock is not None:
                    lock.write(str(os.getpid()))
                    taken[device.uuid] = lock
            if len(taken) == count:
                return Lease(tuple(device for device in self.devices if device.uuid in taken), list(taken.values()))
            for lock in taken.values():
                lock.release()
        return None

    def _path(self, device: AnyDevice) -> Path:
        return self._directory / f"{self._scope}.{quote(device.uuid, safe='')}.lock"

    @contextmanager
    def _ticket(self) -> Iterator[Path]:
        """A place in the queue: the monotonic clock is the same for all processes, and names sort by it."""
        lock = None
        while lock is None:  # another may lock the file between its creation and our lock, to see whether we live
            name = f"{self._scope}.{time.monotonic_ns():020}-{os.getpid()}.ticket"
            lock = LockFile.acquire(self._directory / name)
        try:
            yield lock.path
        finally:
            lock.release()

    def _is_first(self, ticket: Path) -> bool:
        earlier = [path for path in self._directory.glob(f"{self._scope}.*.ticket") if path.name < ticket.name]
        for path in sorted(earlier):
            abandoned = LockFile.acquire(path)
            if abandoned is None:
                return False
            abandoned.release()
        return True

    def _why(self, count: int, timeout: float) -> str:
        holders = [(device, self._holder(device) or self.in_use.get(device.uuid)) for device in self.devices]
        held = [f"{label(device)} by {holder}" for device, holder in holders if holder]
        held_by = f": {', '.join(held)}" if held else "; others were waiting before it"
        return f"waited {timeout:g} s for {_gpus(count)} of the {len(self.devices)} permitted; held{held_by}"

    def _holder(self, device: AnyDevice) -> str | None:
        try:
            pid = self._path(device).read_text()
        except OSError:
            return None
        return described_process(int(pid)) if pid.isdigit() else None


def described_process(pid: int) -> str | None:
    """A process for people: ``process 4711 (python train.py)``; None where it is gone."""
    try:
        command = Path("/proc", str(pid), "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").strip()
    except OSError:
        return None
    return f"process {pid} ({printable(command, 60)})"


def _gpus(count: int) -> str:
    return f"{count} GPU{'' if count == 1 else 's'}"
