"""Who the processes of a server are: its launcher, the worker of each group, the rest; and what became of each."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..host import procfs
from ..profile import Profile

PORT_POLL = 0.25
"""Seconds between two looks at who listens where, which costs more than a look at the processes."""


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """One process of a server.

    - ``ppid``: who started it, as far as that was seen.
    - ``start_time``: clock ticks after boot. ``first_seen``, ``ended``: seconds since the epoch; ``ended`` is
      None while it lives.
    - ``argv``, ``environ``: as its last exec got them; empty when it was gone, or not ours to read.
    - ``role``: ``launcher``, ``worker``, ``balancer`` or ``other``. ``group``: which group, from 0, where
      that is known. ``told_by``: what of the profile's pattern said so.
    - ``exit_code``: negative for a signal; None while it lives, and where only its own parent learned it.
    - ``ports``: of the server's ports, those it listened on when last asked.
    """

    pid: int
    ppid: int
    start_time: int
    argv: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)
    role: str
    group: int | None
    first_seen: float
    ended: float | None = None
    exit_code: int | None = None
    ports: tuple[int, ...] = ()
    told_by: str = ""

    @property
    def alive(self) -> bool:
        return self.ended is None


Touching = Callable[[Sequence[ProcessFacts]], set[int]]
"""Which of these processes have touched a device so far, as pids."""


class Roles:
    """The processes of one launch of ``groups`` groups on ``port``, of which ``launcher`` is the first.

    ``seen`` has everything that is known of every process that ever belonged to the server, by pid. A process
    that was seen between fork and exec, and never after, keeps its parent's arguments.
    """

    def __init__(self, profile: Profile, launcher: int, groups: int, port: int, touching: Touching | None) -> None:
        self.profile = profile
        self.launcher = launcher
        self.groups = groups
        self.port = port
        self.seen: dict[int, ProcessFacts] = {}
        self.unplaced: dict[int, str] = {}
        """Workers whose captured number is that of no group of this launch, with what was captured."""
        self._touchers = touching
        self._images: dict[int, tuple[int, ...]] = {}
        self._ports_seen = 0.0
        self._has_worker_ports = profile.has_worker_ports

    def take(self, found: Sequence[procfs.Stat], exits: Mapping[int, tuple[int, float]]) -> list[ProcessFacts]:
        """Bring ``seen`` up to date with the processes that live now, and return these.

        ``exits``: pid -> exit code and time of those that have ended, as far as their parent told.
        """
        # Ends first: a worker that takes the place of a dead one finds its group free.
        self._note_ends({process.pid for process in found}, exits)
        for process in found:
            self.note(process)
        self._find_workers()
        return [self.seen[process.pid] for process in found]

    def note(self, found: procfs.Stat) -> None:
        """Take down a process that lives; read its arguments only after an exec."""
        pid = found.pid
        known = self.seen.get(pid)
        if known is not None and known.start_time != found.start_time:
            known = None
        if known is not None and found.image == self._images.get(pid):
            return
        argv, environ = procfs.argv(pid), procfs.environ(pid)
        if not argv and known is not None:  # in the middle of an exec: the next look will tell
            return
        self._images[pid] = found.image
        ppid = known.ppid if known is not None else found.ppid
        self.unplaced.pop(pid, None)
        role, group, told_by = self._role(found, ppid, argv, environ)
        first_seen = known.first_seen if known is not None else time.time()
        self.seen[pid] = ProcessFacts(
            pid, ppid, found.start_time, argv, environ, role, group, first_seen, told_by=told_by
        )

    def worker(self, group: int) -> ProcessFacts | None:
        """The living worker of a group, else the last one."""
        of_group = [facts for facts in self.seen.values() if facts.role == "worker" and facts.group == group]
        return max(of_group, key=lambda facts: (facts.alive, facts.start_time), default=None)

    def listeners(self, ports: Sequence[int]) -> dict[int, list[int]]:
        """Port -> pids of the server's processes that listen there."""
        inodes = procfs.listening(ports)
        if not inodes:
            return {}
        held = {pid: procfs.sockets(pid) for pid, facts in self.seen.items() if facts.alive}
        return {port: [pid for pid, own in held.items() if own & wanted] for port, wanted in inodes.items()}

    def look_at_ports_next(self) -> None:
        """The next look asks who listens where, however short ago the last one was."""
        self._ports_seen = 0.0

    def launcher_may_work(self) -> None:
        """The launcher of a server that has no other worker is the worker, if it touched a device."""
        launcher = self.seen[self.launcher]
        alone = self.profile.workers.worker.touched and not any(f.role == "worker" for f in self.seen.values())
        if alone and launcher.role == "launcher" and self.launcher in self.touching_now():
            self.seen[self.launcher] = dataclasses.replace(launcher, role="worker", group=0, told_by="touched")

    def _note_ends(self, alive: set[int], exits: Mapping[int, tuple[int, float]]) -> None:
        now = time.time()
        for pid, facts in self.seen.items():
            if pid in exits and facts.exit_code is None and pid not in alive:
                code, ended = exits[pid]
                self.seen[pid] = dataclasses.replace(facts, exit_code=code, ended=ended)
            elif facts.alive and pid not in alive and not procfs.is_alive(pid, facts.start_time):
                self.seen[pid] = dataclasses.replace(facts, ended=now)

    def _role(
        self, found: procfs.Stat, ppid: int, argv: tuple[str, ...], environ: Mapping[str, str]
    ) -> tuple[str, int | None, str]:
        """Its role and group, by how it was started and its parent, and what told. Who listens or touches shows
        later.
        """
        workers = self.profile.workers
        parent = self.seen.get(ppid)
        if parent is not None and argv == parent.argv and found.image == self._images.get(ppid):
            return "other", parent.group, ""  # a fork: these arguments are its parent's
        if workers.balancer is not None and workers.balancer.match(argv, environ) is not None:
            return "balancer", None, workers.balancer.keys
        shows_later = workers.worker.port or workers.worker.touched
        captured = None if shows_later else workers.worker.match(argv, environ)
        if captured is not None:
            numbered = not captured.keys().isdisjoint(("group", "port"))
            own = self._group(captured) if numbered else None
            is_launcher = found.pid == self.launcher and numbered and own is None
            is_new = parent is None or parent.group is None or (numbered and parent.group != own)
            if is_new and not is_launcher:
                if numbered and own is None:
                    self.unplaced[found.pid] = _captured_words(captured)
                return "worker", own if numbered else self._free_group(), workers.worker.keys
        if found.pid == self.launcher:
            return "launcher", None, ""
        return "other", parent.group if parent is not None else None, ""

    def _group(self, captured: Mapping[str, str]) -> int | None:
        """By the number or the port that was captured; None where that is no group of this launch."""
        text, first = captured.get("group"), self.profile.workers.first_group
        if text is None:
            text, first = captured.get("port", ""), self.profile.worker_port(0, self.port)
        group = int(text) - first if text.isdecimal() else -1
        return group if 0 <= group < self.groups else None

    def _free_group(self) -> int | None:
        """The first that has no worker."""
        return next((group for group in range(self.groups) if not self._has_worker(group)), None)

    def _has_worker(self, group: int) -> bool:
        worker = self.worker(group)
        return worker is not None and worker.alive

    def _find_workers(self) -> None:
        """Among the processes whose start did not say so: by the port on which they listen, or what they touched."""
        told = self.profile.workers.worker
        if not told.port and (told.touched or told.environ is not None):
            if told.touched:
                self._find_workers_by_touch()
            return
        if not self._has_worker_ports:
            return
        lacking = [group for group in range(self.groups) if not self._has_worker(group)]
        if lacking and time.monotonic() - self._ports_seen >= PORT_POLL:
            self._find_workers_by_port(lacking)

    def _find_workers_by_port(self, groups: Sequence[int]) -> None:
        """Whoever listens on a worker's port is the worker; its arguments count where the profile asks for both.

        A daemon has its worker's arguments by fork; some servers set none. The launcher counts only if alone.
        """
        self._ports_seen = time.monotonic()
        owners = self.listeners([self._worker_port(group) for group in groups])
        for group in groups:
            facts = [self.seen[pid] for pid in owners.get(self._worker_port(group), ())]
            free = [found for found in facts if found.role != "worker" and self._is_as_told(found)]
            for worker in sorted(free, key=lambda found: (found.pid == self.launcher, found.start_time))[:1]:
                self.seen[worker.pid] = dataclasses.replace(worker, role="worker", group=group, told_by="port")

    def _is_as_told(self, facts: ProcessFacts) -> bool:
        told = self.profile.workers.worker
        return not told.port or (
            told.match(facts.argv, facts.environ) is not None and (not told.touched or facts.pid in self.touching_now())
        )

    def _find_workers_by_touch(self) -> None:
        """Whoever touched a device is a worker: not the launcher, a balancer, or what a worker started.

        Those that have no number are numbered in the order in which they were started, whichever touched first; one
        that comes when all groups have had a worker takes the place of one that is gone.
        """
        told = self.profile.workers.worker
        # Parents first: what a worker has started is told by the worker above it.
        for facts in sorted((self.seen[pid] for pid in self.touching_now()), key=self._depth):
            captured = told.match(facts.argv, facts.environ)
            if facts.role == "other" and captured is not None and not self._is_below_a_worker(facts):
                group = self._group(captured)
                if captured and group is None:
                    self.unplaced[facts.pid] = _captured_words(captured)
                self.seen[facts.pid] = dataclasses.replace(facts, role="worker", group=group, told_by=told.keys)
        workers = [facts for facts in self.seen.values() if facts.role == "worker"]
        if len(workers) <= self.groups and not any(told.match(w.argv, w.environ) for w in workers):
            for group, worker in enumerate(sorted(workers, key=lambda facts: (facts.start_time, facts.pid))):
                self.seen[worker.pid] = dataclasses.replace(worker, group=group)
        for worker in workers:
            if self.seen[worker.pid].group is None and worker.pid not in self.unplaced:
                self.seen[worker.pid] = dataclasses.replace(worker, group=self._free_group())

    def touching_now(self) -> set[int]:
        """The processes of the server that have touched a device so far; of one that nobody watches, none."""
        return self._touchers(list(self.seen.values())) if self._touchers is not None else set()

    def _is_below_a_worker(self, facts: ProcessFacts) -> bool:
        return any(ancestor.role == "worker" for ancestor in self._ancestors(facts))

    def _depth(self, facts: ProcessFacts) -> int:
        return sum(1 for _ in self._ancestors(facts))

    def _ancestors(self, facts: ProcessFacts) -> Iterator[ProcessFacts]:
        # Whoever has a parent's pid and started later is another process: the parent has ended.
        while (parent := self.seen.get(facts.ppid)) is not None and parent.start_time <= facts.start_time:
            yield parent
            facts = parent

    def _worker_port(self, group: int) -> int:
        return self.profile.worker_port(group, self.port)


def _captured_words(captured: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in captured.items())
