"""What /proc says about processes: whose children they are, how they were started, which ports they hold."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass

from .supervisor import descendants

_LISTEN = "0A"
_WHOLE_ENVIRONMENT = re.compile(rb"[^=\0]+=[^\0]*\0(?:[^\0]+\0)*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Stat:
    """A process at one moment.

    ``start_time`` is in clock ticks after boot; with the pid it names a process for good.

    ``image`` differs before and after an exec: where the kernel put the arguments and the environment.
    """

    pid: int
    ppid: int
    state: str
    start_time: int
    image: tuple[int, ...]

    @property
    def alive(self) -> bool:
        """False for a zombie: it runs nothing and holds nothing, whether or not its parent has noticed."""
        return self.state not in "ZXx"


def stat(pid: int) -> Stat | None:
    """None: there is no such process."""
    data = _read(f"/proc/{pid}/stat")
    if not data:
        return None
    # The name comes second, in brackets, and may contain spaces and brackets itself.
    fields = data.rpartition(b")")[2].split()
    image = tuple(int(value) for value in fields[45:49])
    return Stat(pid, int(fields[1]), fields[0].decode(), int(fields[19]), image)


def is_alive(pid: int, start_time: int) -> bool:
    """Whether this very process still runs: a later one with the same pid does not count, nor a zombie."""
    found = stat(pid)
    return found is not None and found.start_time == start_time and found.alive


def run_delay(pid: int) -> float:
    """Seconds that the process's most delayed thread was ready to run and had no CPU, since it started; 0 where the
    kernel does not say, and for no process.
    """
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return 0.0
    told = (_read(f"/proc/{pid}/task/{thread}/schedstat").split() for thread in threads)
    return max((int(words[1]) / 1e9 for words in told if len(words) > 1), default=0.0)


def group(pid: int) -> int | None:
    """Its process group; None: there is no such process."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def argv(pid: int) -> tuple[str, ...]:
    """The arguments of the last exec; empty for a zombie and for no process."""
    data = _read(f"/proc/{pid}/cmdline")
    return tuple(os.fsdecode(word) for word in data.removesuffix(b"\0").split(b"\0")) if data else ()


def environ(pid: int) -> dict[str, str]:
    """The environment at the last exec, not what the process made of it; empty where it cannot be read.

    A process that gives itself a title (setproctitle) writes it over its arguments and its environment: what is left of
    that, or half overwritten at this moment, is no environment.
    """
    data = _read(f"/proc/{pid}/environ")
    if not _WHOLE_ENVIRONMENT.fullmatch(data):
        return {}
    pairs = (entry.partition(b"=") for entry in data.split(b"\0"))
    return {os.fsdecode(name): os.fsdecode(value) for name, equals, value in pairs if equals}


def family(ancestor: int) -> list[int]:
    """Pids of the processes below ``ancestor``, parents first. Cheap: reads nothing about other processes.

    One that is being handed to a new parent at this moment may be missing; ask :func:`everyone_below` to be
    sure.
    """
    if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        return descendants(ancestor)
    found = _children(ancestor)
    for pid in found:
        found.extend(_children(pid))
    return found


def everyone_below(ancestor: int) -> list[int]:
    """The same from the whole process table: complete, and slower the more processes the machine has."""
    return descendants(ancestor)


def _children(pid: int) -> list[int]:
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [int(child) for thread in threads for child in _read(f"/proc/{pid}/task/{thread}/children").split()]


def marked(name: str, values: Iterable[str]) -> list[int]:
    """Pids of the processes that were started with environment variable ``name`` set to one of ``values``."""
    wanted = {os.fsencode(f"{name}={value}") for value in values}
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [pid for pid in pids if not wanted.isdisjoint(_read(f"/proc/{pid}/environ").split(b"\0"))]


def send_signal(pid: int, start_time: int, number: signal.Signals | int) -> bool:
    """Signal this very process; False when it is gone, whoever has its pid by now."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        found = stat(pid)
        if found is None or found.start_time != start_time or not found.alive:
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def listening(ports: Iterable[int]) -> dict[int, set[int]]:
    """Those of ``ports`` (TCP, any address) that someone listens on -> inodes of the sockets."""
    wanted = set(ports)
    found: dict[int, set[int]] = {}
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        for line in _read(table).decode().splitlines()[1:]:
            words = line.split()
            port = int(words[1].rpartition(":")[2], 16)
            if words[3] == _LISTEN and port in wanted:
                found.setdefault(port, set()).add(int(words[9]))
    return found


def sockets(pid: int) -> set[int]:
    """Inodes of the sockets that a process holds; empty where they cannot be read."""
    directory = f"/proc/{pid}/fd"
    inodes = set()
    try:
        for name in os.listdir(directory):
            target = _link(f"{directory}/{name}")
            if target.startswith("socket:["):
                inodes.add(int(target[len("socket:[") : -1]))
    except OSError:
        pass
    return inodes


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _read(path: str) -> bytes:
    """Empty when the process is gone, or not ours."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return b""
