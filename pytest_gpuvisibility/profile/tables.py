"""The tables of a profile's file, a class for each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..environment import CONTAINER_MASK, MASK, ORDER

REQUEST_KINDS = ("websocket", "http", "command")
READY_KINDS = ("request", "tcp", "http", "websocket", "log", "command")
DEVICE_FLAGS = ("ordinal", "physical")
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "device": ("device",),
    "cpu": (),
    "auto": (),
    "share": (),
    "split": ("dp", "pp", "tp"),
    "engines": (),
    "restarts": (),
}
"""The names of ``[server.options]``, and the placeholders that each must hold."""
RESERVED_VARIABLES = (
    MASK,
    ORDER,
    CONTAINER_MASK,
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
    "LD_PRELOAD",
    "PATH",
)
"""What a scenario sets; a profile that set them too would change what is being tested."""


@dataclass(frozen=True, slots=True)
class Product:
    """What is on trial. ``version`` is searched for in what ``version_command`` prints; its first group is
    the version.
    """

    name: str
    version_command: tuple[str, ...]
    url: str = ""
    version: re.Pattern[str] = re.compile(r"(?<![\w.])v?(\d+(?:\.\d+)+[\w.+-]*)")


@dataclass(frozen=True, slots=True)
class Request:
    """What a worker must answer to be ready. Texts may hold placeholders, also ``{worker_port}`` and
    ``{group}``.

    ``headers``: of HTTP; with a body, ``Content-Type`` is ``application/json`` where they say nothing else.
    ``deadline``: seconds for one attempt.
    """

    kind: str
    expect: re.Pattern[str]
    url: str = ""
    send: str = ""
    method: str = "GET"
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    deadline: float = 5.0


@dataclass(frozen=True, slots=True)
class Ready:
    """When the server counts as ready.

    ``request``: each worker has answered its request. ``tcp``: ``url`` (``tcp://host:port``; by default each
    worker's port) accepts a connection. ``http``: ``url`` answers with a status of 2xx and a body in which
    ``expect`` is found. ``websocket``: ``url`` answers ``send`` with a text in which ``expect`` is found.
    ``command``: ``command`` exits with 0 and prints ``expect``. One with ``{worker_port}`` or ``{group}`` is
    made for each worker. ``log``: ``expect`` is found ``times`` times (a sum such as ``ports``) in what the server
    wrote.

    ``deadline``: seconds for one attempt.
    """

    kind: str = "request"
    url: str = ""
    expect: re.Pattern[str] = re.compile("")
    send: str = ""
    command: tuple[str, ...] = ()
    times: str = "1"
    deadline: float = 5.0


@dataclass(frozen=True, slots=True)
class Server:
    """How to launch and stop. Deadlines in seconds. ``ports``: how many consecutive ones are used from
    ``{port}`` on. ``launch``: what a kernel launch does on a simulated machine, ``error`` or ``noop``.
    ``prepare``: a command to run once a session, before the first launch. ``unload`` and ``load``: requests by which
    the worker of a group gives its model up and takes it again. ``reaction_deadline``: in which the server notices
    that a worker has died, and does about it what it does.

    ``options``: arguments that a rule may add to the command, at its end or where it says ``{options}``. A rule about
    one that is left out is not asked.

    - ``device``: use the device ``{device}``; ``[supports].device_flag`` says what its number means.
    - ``cpu``: run on the CPU.
    - ``auto``: choose the devices with the most free memory.
    - ``share``: let ``{share}`` groups share each device.
    - ``split``: ``{groups}`` is ``{dp}``, and the ``{devices}`` of each group are ``{pp}`` stages of ``{tp}``.
    - ``engines``: start the groups as engines one after the other from one process.
    - ``restarts``: start a worker that dies again.

    ``idle``: seconds that a rule about leaks waits after the first requests. ``second_model``: a request, to the front
    door or a worker, that loads a second model or adds a worker.
    """

    command: tuple[str, ...]
    request: Request | None = None
    ready: Ready = Ready()
    values: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    host: str = "localhost"
    ready_deadline: float = 60.0
    stop: str = "SIGINT"
    stop_deadline: float = 30.0
    ports: str = "groups+1"
    launch: str = "error"
    prepare: tuple[str, ...] = ()
    unload: Request | None = None
    load: Request | None = None
    reaction_deadline: float = 20.0
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    idle: float = 0.5
    second_model: Request | None = None


@dataclass(frozen=True, slots=True)
class ProcessPattern:
    """How to tell a process from others. All that is given must hold.

    ``argv``: a pattern that is found in its arguments, joined by spaces. ``environ``: one that is found in one
    of the ``NAME=value`` that its program was started with. ``port``: it listens on a worker's port.
    ``touched``: it has opened a context or allocated memory on a GPU.

    A pattern may capture ``(?P<group>...)``, the number of the worker's group, or ``(?P<port>...)``, the port on which
    it listens. Where nothing says the number, it is the order in which workers were started.
    """

    argv: re.Pattern[str] | None = None
    environ: re.Pattern[str] | None = None
    port: bool = False
    touched: bool = False

    @property
    def keys(self) -> str:
        """What it tells by: ``argv and touched``."""
        given = {
            "argv": self.argv is not None,
            "environ": self.environ is not None,
            "port": self.port,
            "touched": self.touched,
        }
        return " and ".join(name for name, there in given.items() if there)

    @property
    def numbered(self) -> bool:
        """Whether it says which group a process is the worker of."""
        return self.port or self.captures("group") or self.captures("port")

    def captures(self, name: str) -> bool:
        """Whether one of its patterns captures that."""
        return any(name in pattern.groupindex for pattern in (self.argv, self.environ) if pattern is not None)

    def match(self, argv: Sequence[str], environ: Mapping[str, str]) -> Mapping[str, str] | None:
        """What its patterns capture from a process; None where one of them is not found."""
        captured: dict[str, str] = {}
        for pattern, texts in (
            (self.argv, [" ".join(argv)]),
            (self.environ, [f"{name}={value}" for name, value in environ.items()]),
        ):
            if pattern is None:
                continue
            found = next((match for text in texts if (match := pattern.search(text))), None)
            if found is None:
                return None
            captured |= {name: value for name, value in found.groupdict().items() if value is not None}
        return captured


@dataclass(frozen=True, slots=True)
class Workers:
    """How to tell workers and balancers from the rest. Worker i listens on ``{port}+first_port+i``, where each
    has a port; ``first_group`` is the number that the server itself gives to worker 0.

    Without ``worker``, workers are told by the ports on which they listen.
    """

    worker: ProcessPattern = ProcessPattern(port=True)
    balancer: ProcessPattern | None = None
    first_port: int = 1
    first_group: int = 0


@dataclass(frozen=True, slots=True)
class Supports:
    """What the server claims to understand or do."""

    uuid: bool = True
    mig: bool = True
    order: bool = True
    sharing: bool = False
    waiting: bool = False
    restarts: bool = False
    """A worker that dies is started again, with the arguments of ``[server.options] restarts`` where there are any."""
    device_flag: str = "ordinal"
    """What the number of the option ``device`` means: a position in the mask (``ordinal``) or nvidia-smi's index
    (``physical``)."""
    launcher_context: bool = False
    """The launcher itself uses a device of its workers, on purpose."""


@dataclass(frozen=True, slots=True)
class Report:
    """Where the server says something of itself: what ``pattern`` finds, as often as it does, in what ``url`` answers.

    A url with ``{worker_port}`` or ``{group}`` is asked once a group. Without a url, in what the server wrote.
    """

    pattern: re.Pattern[str]
    url: str = ""


@dataclass(frozen=True, slots=True)
class Reports:
    """What the server says of itself, by the named groups of a pattern. Where one is left out, the rules about it are
    not asked.

    - ``health``: a url that answers with a status of 2xx exactly while the whole server is ready.
    - ``metrics``: ``device`` is what a sample is labelled with: a UUID, a PCI bus id, a number.
    - ``workers``: which device a worker has. ``device`` as above, and the worker as ``group``, ``port`` or ``pid``;
      with a url that is asked once a group, that is the worker.
    - ``memory``: ``total``, what it takes the device's memory to be, or ``planned``, what it plans to use of it; both
      as ``…_bytes``, ``…_mib`` or ``…_gib``.
    """

    health: str = ""
    metrics: Report | None = None
    workers: Report | None = None
    memory: Report | None = None


REPORT_GROUPS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "metrics": (("device",),),
    "workers": (("device",), ("group", "port", "pid")),
    "memory": (tuple(f"{what}_{unit}" for what in ("total", "planned") for unit in ("bytes", "mib", "gib")),),
}
"""Of the named groups of a report's pattern: one of each of these is needed."""


@dataclass(frozen=True, slots=True)
class Option:
    """An entry of ``[server.options]`` to launch with, and what its placeholders stand for."""

    name: str
    values: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, name: str, **values: object) -> Option:
        return cls(name, tuple((key, str(value)) for key, value in values.items()))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Option:
        return cls(data["name"], tuple((key, value) for key, value in data["values"]))

    def describe(self) -> str:
        """``device 1``, ``split dp 2 pp 2 tp 1``, ``cpu``: for the line that describes a launch."""
        if len(self.values) == 1:
            return f"{self.name} {self.values[0][1]}"
        return " ".join([self.name, *(f"{key} {value}" for key, value in self.values)])


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A rule that the server knowingly does not follow."""

    rule: str
    reason: str
    issue_url: str = ""
