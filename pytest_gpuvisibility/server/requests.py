"""One request to a server under test, with a time limit that holds whatever the server does."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import UserError
from ..profile import Profile, Request, fill

CONNECT_LIMIT = 1.0
"""Seconds to connect to a port of this machine."""
RETRY = 0.05
"""Seconds between attempts on a port that is still closed."""
COMMAND_RETRY = 0.3
"""Seconds between two runs of a command, which costs more."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a request. ``error`` is empty exactly when ``ok``; ``seconds`` counts from the attempt's
    start.
    """

    ok: bool
    text: str
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A request with everything filled in. ``expect`` is searched for in the answer; ``deadline`` is in
    seconds.

    ``kind``: ``websocket`` (``url``, ``send``), ``http`` (``url``, ``method``, ``body``, ``headers``), ``tcp``
    (``url``, which must accept a connection), ``door`` (``url``, which must answer a request of HTTP with anything) or
    ``command`` (``command``, run under ``environ``, to exit with 0).
    """

    kind: str
    expect: re.Pattern[str]
    deadline: float
    url: str = ""
    send: str = ""
    method: str = "GET"
    body: str = ""
    command: tuple[str, ...] = ()
    environ: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __call__(self) -> Reply:
        """Make the request once."""
        kinds = {"websocket": self._websocket, "http": self._http, "tcp": self._tcp, "door": self._door}
        ask = {**kinds, "command": self._command}[self.kind]
        began = time.monotonic()
        text, error = "", ""
        try:
            text = ask(began + self.deadline)
            if not self.expect.search(text):
                error = f"answered, but not with /{self.expect.pattern}/: {text[:200]!r}"
        except TimeoutError:
            error = f"no answer within {self.deadline:g} s"
        except ConnectionRefusedError:
            error = "refuses connections"
        except Exception as problem:  # a broken server may answer anything
            error = f"{type(problem).__name__}: {problem}".rstrip(": ")
        return Reply(not error, text, time.monotonic() - began, error)

    def _websocket(self, deadline: float) -> str:
        # 75 ms, more than the rest of a server's packages together (``python -X importtime``); few profiles need it
        from websockets.exceptions import ConnectionClosed
        from websockets.sync.client import connect

        with (
            _connect(self.url) as plain,
            connect(self.url, sock=plain, open_timeout=_left(deadline), close_timeout=0.5, compression=None) as server,
        ):
            server.send(self.send)
            text = ""
            while not self.expect.search(text):
                try:
                    message = server.recv(timeout=_left(deadline))
                except ConnectionClosed as closed:
                    raise ConnectionError(f"closed the connection without an answer ({closed})") from None
                text += message if isinstance(message, str) else message.decode(errors="replace")
            return text

    def _http(self, deadline: float) -> str:
        parts = urllib.parse.urlsplit(self.url)
        with contextlib.closing(http.client.HTTPConnection(parts.hostname or "localhost", parts.port)) as server:
            server.sock = _connect(self.url)
            # A read's own time limit starts anew with every byte; this one does not.
            guard = threading.Timer(_left(deadline), _shut, [server.sock])
            guard.daemon = True
            guard.start()
            try:
                path = parts._replace(scheme="", netloc="").geturl() or "/"
                headers = dict(self.headers)
                if self.body and "content-type" not in map(str.lower, headers):
                    headers["Content-Type"] = "application/json"
                server.request(self.method, path, self.body or None, headers)
                answer = server.getresponse()
                text = answer.read().decode(errors="replace")
            except (OSError, http.client.HTTPException):
                _left(deadline)
                raise
            finally:
                guard.cancel()
        if not 200 <= answer.status < 300:
            raise ConnectionError(f"HTTP status {answer.status}: {text[:200]!r}")
        return text

    def _tcp(self, deadline: float) -> str:
        with _connect(self.url):
            return ""

    def _door(self, deadline: float) -> str:
        with _connect(self.url) as door:
            door.settimeout(_left(deadline))
            door.sendall(b"GET / HTTP/1.0\r\n\r\n")
            said = door.recv(256)
        if not said:
            raise ConnectionError("closed the connection without an answer")
        return said.decode(errors="replace")

    def _command(self, deadline: float) -> str:
        with subprocess.Popen(
            self.command,
            env=dict(self.environ or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as client:
            try:
                output, _ = client.communicate(timeout=_left(deadline))
            except BaseException as problem:
                os.killpg(client.pid, signal.SIGKILL)
                if isinstance(problem, subprocess.TimeoutExpired):
                    raise TimeoutError from None
                raise
        text = output.decode(errors="replace")
        if client.returncode:
            raise ConnectionError(f"{self.command[0]} exited with {client.returncode}: {text[-200:]!r}")
        return text


def worker_call(
    profile: Profile,
    group: int,
    values: Mapping[str, str],
    port: int,
    environ: Mapping[str, str],
    request: Request | None = None,
) -> Call:
    """The request to worker ``group`` of a launch on ``port``, by default that of ``[server].request``.

    :raises UserError: the profile has no request.
    """
    request = request or profile.server.request
    if request is None:
        raise UserError(
            f"{profile.path} has no [server].request, so no worker of {profile.product.name} can be asked."
            " Describe one there."
        )
    filled = {**values, "worker_port": str(profile.worker_port(group, port)), "group": str(group)}
    return Call(
        kind=request.kind,
        expect=request.expect,
        deadline=request.deadline,
        url=fill(request.url, filled),
        send=fill(request.send, filled),
        method=request.method,
        body=fill(request.body, filled),
        headers={name: fill(value, filled) for name, value in request.headers.items()},
        command=tuple(fill(word, filled) for word in request.command),
        environ=environ,
    )


def _left(deadline: float) -> float:
    """:raises TimeoutError: nothing is left."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _connect(url: str) -> socket.socket:
    # Connecting here keeps the proxies that the environment names out of it.
    parts = urllib.parse.urlsplit(url)
    return socket.create_connection((parts.hostname or "localhost", parts.port or 80), CONNECT_LIMIT)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def accepts(port: int, host: str = "localhost") -> bool:
    """Whether something accepts a TCP connection there."""
    try:
        with socket.create_connection((host, port), CONNECT_LIMIT):
            return True
    except OSError:
        return False


class ReadinessProbe(threading.Thread):
    """Repeats a call in the background until it is answered or :meth:`stop` is called; a command only once
    ``port``, if there is one, is open.

    ``reply`` is the last attempt's, ``answered`` is set at the first good one.
    """

    def __init__(self, call: Call, port: int | None, host: str) -> None:
        super().__init__(name=f"knock at {port or call.url or call.command}", daemon=True)
        self.call = call
        self.port = port
        self.host = host
        self.reply: Reply | None = None
        self.answered = threading.Event()
        self._stopped = threading.Event()

    def run(self) -> None:
        is_command = self.call.kind == "command"
        while not self._stopped.is_set():
            if not is_command or self.port is None or accepts(self.port, self.host):
                self.reply = self.call()
                if self.reply.ok:
                    self.answered.set()
                    return
            self._stopped.wait(COMMAND_RETRY if is_command else RETRY)

    def stop(self) -> None:
        """It ends within the call's time limit, sooner when the server is gone."""
        self._stopped.set()
