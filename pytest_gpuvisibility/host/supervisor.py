"""The parent of a server under test: whatever becomes of the harness, nothing of the server stays behind.

A program of its own, started as ``python -I -S supervisor.py CONTROL_FD HARNESS_PID``, standard library only.
As a child subreaper it stays an ancestor of every process that the server starts, whatever that does to
session, process group or parent. When the harness dies, however it dies, this program kills all of them and
removes their directories.

It reads commands from the control socket and writes events to it, one JSON object a line:

- ``{"command": "guard", "directories": [...], "keep": [fd, ...]}``, first: what to remove if the harness
  dies, and which inherited descriptors (locks) to hold until then. Answered by ``{"event": "guarding"}``.
- ``{"command": "launch", "executable", "argv", "environ", "cwd", "stdout", "stderr", "output_limit"}``: answered by
  ``{"event": "launched", "pid", "start_time"}`` or ``{"event": "failed", "error"}``. Of a file of output that takes
  more than ``output_limit`` bytes on the disk, the older half is given back, again and again.
- ``{"command": "quit"}``: kill everything, then exit without removing anything; answered by
  ``{"event": "bye"}`` when all is gone.
- ``{"event": "exit", "pid", "code", "time"}`` for every child that was reaped: its exit code, negative for a
  signal, and when (seconds since the epoch).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
RECHECK = 0.05
"""Seconds after which the process table is looked through again while something is being killed."""
REMOVAL_ATTEMPTS = 40
LOOK_AT_OUTPUT = 0.1
"""Seconds between two looks at how much a server has written."""
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2
DISK_BLOCK = 512
TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` would make up a third of the start-up time
    from typing import Any


def parents() -> dict[int, int]:
    """All processes of the machine: pid -> pid of the parent."""
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            table[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    return table


def descendants(ancestor: int) -> list[int]:
    """Pids of all processes below ``ancestor``, parents before their children, zombies included."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = list(children.get(ancestor, ()))
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def remove_tree(path: str) -> None:
    """Remove a directory whose last writers may only just have died."""
    import shutil  # half of this program's start-up time, and needed only at its end

    for _ in range(REMOVAL_ATTEMPTS):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path):
            return
        time.sleep(RECHECK)


def become_subreaper() -> None:
    """:raises OSError: the kernel refuses."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def start_time(pid: int) -> int:
    """When a process of ours started, in clock ticks after boot."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def give_back(path: str, length: int) -> None:
    """Free the disk space of the first ``length`` bytes of a file that others append to; they will read as zeros.

    A file system that cannot do that loses the whole file's content instead.
    """
    import ctypes

    descriptor = os.open(path, os.O_WRONLY)
    try:
        fallocate = ctypes.CDLL(None).fallocate
        fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
        if fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, length):
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


class Supervisor:
    """See the module. ``harness`` is the pid of the process to outlive."""

    def __init__(self, control: socket.socket, harness: int) -> None:
        self.control = control
        self.directories: list[str] = []
        self.keep: list[int] = []
        self.output: list[str] = []
        self.output_limit = 0
        self.unread = b""
        self.unsent = b""
        self.harness_pidfd = self._open_pidfd(harness)
        self.wake, wake_write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wake_write, False)
        # Only to wake the poll below: a process that ignores SIGCHLD would lose the exit codes.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        control.setblocking(False)

    @staticmethod
    def _open_pidfd(harness: int) -> int | None:
        # The end of the control socket says the same, unless a fork of the harness still holds the other end.
        try:
            descriptor = os.pidfd_open(harness)
        except (AttributeError, OSError):
            return None
        if os.getppid() != harness:
            raise SystemExit("the harness is already gone")
        return descriptor

    def run(self) -> None:
        poll = select.poll()
        poll.register(self.wake, select.POLLIN)
        if self.harness_pidfd is not None:
            poll.register(self.harness_pidfd, select.POLLIN)
        while True:
            poll.register(self.control, select.POLLIN | (select.POLLOUT if self.unsent else 0))
            ready = dict(poll.poll(LOOK_AT_OUTPUT * 1000 if self.output else None))
            self.trim_output()
            if self.wake in ready:
                self._drain_wake()
                self.reap()
            if self.harness_pidfd in ready:
                return
            if self.control.fileno() in ready and not self._read_commands():
                return
            self._flush()

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self.wake, 4096):
                pass

    def _read_commands(self) -> bool:
        """False when no more will come: the harness is gone, or has said goodbye."""
        try:
            data = self.control.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            return False
        *lines, self.unread = (self.unread + data).split(b"\n")
        return all(self._obey(json.loads(line)) for line in lines)

    def _obey(self, message: dict[str, Any]) -> bool:
        command = message["command"]
        if command == "guard":
            self.directories, self.keep = message["directories"], message["keep"]
            for descriptor in self.keep:
                os.set_inheritable(descriptor, False)
            self.send(event="guarding")
        elif command == "launch":
            self.launch(message)
        elif command == "quit":
            self.kill_all()
            self.directories = []
            self.send(event="bye")
            return False
        return True

    def send(self, **event: Any) -> None:
        self.unsent += json.dumps(event).encode() + b"\n"
        self._flush()

    def _flush(self) -> None:
        try:
            while self.unsent:
                self.unsent = self.unsent[self.control.send(self.unsent) :]
        except BlockingIOError:
            pass
        except OSError:  # nobody listens any more; the poll will say so too
            self.unsent = b""

    def reap(self) -> bool:
        """Collect the exit codes there are. False when no child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self.send(event="exit", pid=pid, code=os.waitstatus_to_exitcode(status), time=time.time())

    def trim_output(self) -> None:
        """Give back the disk space of all but the end of what the server wrote; it goes on writing at the end."""
        for path in self.output:
            with contextlib.suppress(OSError):
                found = os.stat(path)
                if found.st_blocks * DISK_BLOCK > self.output_limit:
                    give_back(path, found.st_size - self.output_limit // 2)

    def launch(self, message: dict[str, Any]) -> None:
        status_read, status_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._become(message, status_write)
        os.close(status_write)
        with open(status_read, "rb") as file:
            error = file.read()  # ends when exec has closed the other end
        if error:
            self.send(event="failed", error=error.decode(errors="replace"))
        else:
            self.output, self.output_limit = [message["stdout"], message["stderr"]], message["output_limit"]
            self.send(event="launched", pid=pid, start_time=start_time(pid))

    @staticmethod
    def _become(message: dict[str, Any], status: int) -> None:
        """In the child: turn into the server, as if started from a fresh terminal of its own."""
        try:
            signal.set_wakeup_fd(-1)
            os.setsid()
            # A shell starts background jobs with SIGINT ignored, Python ignores SIGPIPE: not for a server.
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            for target, path, flags in (
                (0, os.devnull, os.O_RDONLY),
                (1, message["stdout"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
                (2, message["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
            ):
                os.dup2(os.open(path, flags, 0o600), target)
            os.chdir(message["cwd"])
            os.execve(message["executable"], message["argv"], message["environ"])
        except BaseException as error:
            os.write(status, f"{type(error).__name__}: {error}".encode(errors="replace"))
        finally:
            os._exit(127)

    def kill_all(self) -> None:
        """Kill every descendant until none is left: the children of a killed one fall in the next round."""
        poll = select.poll()
        poll.register(self.wake, select.POLLIN)
        while self.reap():
            for pid in descendants(os.getpid()):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            poll.poll(RECHECK * 1000)
            self._drain_wake()


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    supervisor = Supervisor(control, int(sys.argv[2]))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        become_subreaper()
        supervisor.run()
    except Exception as error:
        supervisor.send(event="broken", error=f"{type(error).__name__}: {error}")
        raise
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        supervisor.kill_all()
        for directory in supervisor.directories:
            remove_tree(directory)


if __name__ == "__main__":
    main()
