"""The harness' side of the supervisor: start it, tell it what to do, hear what became of the server's
processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ANSWER_LIMIT = 20.0
"""Seconds in which the supervisor must answer, also while it kills a large server."""


OUTPUT_LIMIT = 64 << 20
"""Bytes on the disk that each of a server's standard output and standard error may take, give or take what it writes
in a tenth of a second; only the end is ever read."""


class SupervisorError(RuntimeError):
    """The supervisor did not do its work: a failure of the harness, never of the server."""


class SupervisorClient:
    """A running supervisor. ``directories`` are removed if this process dies; ``keep`` are descriptors held
    until then.

    ``exits``: pid -> (exit code, seconds since the epoch) of every process that the supervisor reaped so far.
    """

    def __init__(self, directories: Sequence[Path], keep: Sequence[int]) -> None:
        self.exits: dict[int, tuple[int, float]] = {}
        self._unread = b""
        self._ended = False
        self._socket, theirs = socket.socketpair()
        program = Path(__file__).with_name("supervisor.py")
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(program), str(theirs.fileno()), str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    pass_fds=[theirs.fileno(), *keep],
                    start_new_session=True,  # Ctrl-C in the terminal is for the harness
                )
        except BaseException:
            self._socket.close()
            raise
        self.pid = self._process.pid
        self._socket.setblocking(False)
        try:
            self._send(command="guard", directories=[str(path) for path in directories], keep=list(keep))
            self._answer("guarding")
        except BaseException:
            self.close()
            raise

    def launch(
        self,
        executable: str,
        argv: Sequence[str],
        environ: Mapping[str, str],
        cwd: Path,
        stdout: Path,
        stderr: Path,
    ) -> tuple[int, int]:
        """Start a program below the supervisor, in a session of its own: its pid and start time (clock ticks
        after boot).

        :raises SupervisorError: it could not be started.
        """
        files = {"cwd": str(cwd), "stdout": str(stdout), "stderr": str(stderr), "output_limit": OUTPUT_LIMIT}
        self._send(command="launch", executable=executable, argv=list(argv), environ=dict(environ), **files)
        event = self._answer("launched", "failed")
        if event["event"] == "failed":
            raise SupervisorError(f"{executable} could not be started: {event['error']}")
        return event["pid"], event["start_time"]

    def pump(self, timeout: float) -> bool:
        """Take in what the supervisor says; wait up to ``timeout`` seconds for something. False when it has
        ended.
        """
        if not self._ended:
            self._receive(timeout)
        return not self._ended

    def close(self) -> bool:
        """Kill everything and end the supervisor. False when it had ended before: then nobody has killed
        anything.
        """
        try:
            self._send(command="quit")
            self._answer("bye")
            return True
        except SupervisorError:
            if self._process.poll() is None and not self._ended:
                raise
            return False
        finally:
            # Should we be interrupted above, the end of the socket tells it to do the same.
            self._socket.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(ANSWER_LIMIT)

    def _answer(self, *names: str) -> dict[str, Any]:
        deadline = time.monotonic() + ANSWER_LIMIT
        while (left := deadline - time.monotonic()) > 0 and not self._ended:
            for event in self._receive(left):
                if event["event"] in names:
                    return event
        if self._ended:
            raise SupervisorError(f"the supervisor of the server's processes (pid {self.pid}) is gone")
        raise SupervisorError(f"the supervisor of the server's processes did not answer within {ANSWER_LIMIT:g} s")

    def _receive(self, timeout: float) -> list[dict[str, Any]]:
        """Events other than exits, which are noted. Waits for anything up to ``timeout`` seconds."""
        if not select.select([self._socket], [], [], timeout)[0]:
            return []
        try:
            data = self._socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._ended = True
            return []
        *lines, self._unread = (self._unread + data).split(b"\n")
        events = [json.loads(line) for line in lines]
        for event in events:
            if event["event"] == "exit":
                self.exits[event["pid"]] = (event["code"], event["time"])
            elif event["event"] == "broken":
                raise SupervisorError(f"the supervisor of the server's processes failed: {event['error']}")
        return [event for event in events if event["event"] != "exit"]

    def _send(self, **message: Any) -> None:
        data = json.dumps(message).encode() + b"\n"
        deadline = time.monotonic() + ANSWER_LIMIT
        while data:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                if not select.select([], [self._socket], [], max(0.0, deadline - time.monotonic()))[1]:
                    raise SupervisorError("the supervisor of the server's processes does not listen") from None
            except OSError as error:
                self._ended = True
                raise SupervisorError(
                    f"the supervisor of the server's processes (pid {self.pid}) is gone: {error}"
                ) from None
