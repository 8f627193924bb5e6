"""The profile of a server: one TOML file that says how to launch it, know that it is ready, tell its
processes, stop it.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from .client import Call
from .errors import UserError
from .resources import shipped_directory

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REQUEST_KINDS = ("websocket", "http", "command")
READY_KINDS = ("request", "tcp", "http", "websocket", "log", "command")
LAUNCH_POLICIES = ("error", "noop")
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
VERSION_LIMIT = 60.0
"""Seconds that a version command may take."""
PREPARE_LIMIT = 600.0
"""Seconds that ``[server].prepare`` may take: it may have a model to make or to fetch."""
HARNESS_VARIABLES = re.compile(r"(PYTEST|COV|COVERAGE)_.*|PYTHONPATH", re.DOTALL)
RESERVED_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "NVIDIA_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
    "PATH",
)
"""What a scenario sets; a profile that set them too would change what is being tested."""

T = TypeVar("T")


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

    ``deadline``: seconds for one attempt.
    """

    kind: str
    expect: re.Pattern[str]
    url: str = ""
    send: str = ""
    method: str = "GET"
    body: str = ""
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
    one that is left out is not applicable.

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
class Telltale:
    """How to tell a process from others. All that is given must hold.

    ``argv``: a pattern that is found in its arguments, joined by spaces. ``environ``: one that is found in one
    of the ``NAME=value`` that its program was started with. ``port``: it listens on a worker's port.
    ``touched``: it has opened a context or allocated memory on a GPU.

    A pattern may capture ``(?P<group>...)``, the number of the worker's group from 0 on, or
    ``(?P<port>...)``, the port on which it listens. Where nothing says the number, it is the order in which
    workers were started.
    """

    argv: re.Pattern[str] | None = None
    environ: re.Pattern[str] | None = None
    port: bool = False
    touched: bool = False

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
    has a port.

    Without ``worker``, workers are told by the ports on which they listen.
    """

    worker: Telltale = Telltale(port=True)
    balancer: Telltale | None = None
    first_port: int = 1


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
    not applicable.

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


@dataclass(frozen=True, slots=True)
class Profile:
    """A whole profile. ``path``: the file that it was read from."""

    path: Path
    product: Product
    server: Server
    workers: Workers
    supports: Supports
    unsupported: tuple[Unsupported, ...]
    reports: Reports = Reports()

    def with_scratch(self, directory: Path) -> Profile:
        """The same profile with ``{scratch}`` standing for ``directory``, and its values' own placeholders filled."""
        known = {**self._own_values(), "scratch": str(directory)}
        values = {name: fill(value, known) for name, value in self.server.values.items()}
        values["scratch"] = str(directory)
        return dataclasses.replace(self, server=dataclasses.replace(self.server, values=values))

    def _own_values(self) -> dict[str, str]:
        return {"python": sys.executable, "here": str(self.path.parent)}

    def values(self, *, groups: int, devices: int, port: int) -> dict[str, str]:
        """What the placeholders of this profile stand for in one launch."""
        return {
            **self.server.values,
            "groups": str(groups),
            "devices": str(devices),
            "port": str(port),
            "host": self.server.host,
            **self._own_values(),
        }

    @property
    def has_layout(self) -> bool:
        """Whether one argument holds both ``{groups}`` and ``{devices}``, so that a malformed layout can be
        written.
        """
        return any(_LAYOUT.search(word) for word in self.server.command)

    def command_line(
        self,
        groups: int,
        devices: int,
        port: int,
        layout: str | None = None,
        options: Iterable[Option] = (),
    ) -> list[str]:
        """The command to launch. ``layout`` replaces what stands from ``{groups}`` to ``{devices}``.

        :raises UserError: ``layout`` is given and no argument holds both placeholders.
        :raises KeyError: the profile has not one of ``options``.
        """
        words = list(self.server.command)
        added = [fill(word, dict(option.values)) for option in options for word in self.server.options[option.name]]
        place = words.index(OPTIONS_WORD) if OPTIONS_WORD in words else len(words)
        words[place : place + 1] = added
        if layout is not None:
            if not self.has_layout:
                raise UserError(
                    f"The layout {layout!r} cannot be given to {self.product.name}: no argument of"
                    f" [server].command in {self.path} holds both {{groups}} and {{devices}}."
                )
            words = [_LAYOUT.sub(lambda _: layout, word) for word in words]
        values = self.values(groups=groups, devices=devices, port=port)
        return [fill(word, values) for word in words]

    def port_count(self, groups: int, devices: int) -> int:
        """How many consecutive ports a launch uses; at least one."""
        return max(1, amount(self.server.ports, groups, devices))

    @property
    def sizes_groups(self) -> bool:
        """Whether the command says how many devices each group gets: ``{devices}`` stands in it."""
        return any("{devices}" in word for word in self.server.command)

    def worker_port(self, group: int, port: int) -> int:
        return port + self.workers.first_port + group

    def call(
        self,
        group: int,
        values: Mapping[str, str],
        port: int,
        environ: Mapping[str, str],
        request: Request | None = None,
    ) -> Call:
        """The request to worker ``group`` of a launch on ``port``, by default that of ``[server].request``.

        :raises UserError: the profile has no request.
        """
        request = request or self.server.request
        if request is None:
            raise UserError(
                f"{self.path} has no [server].request, so no worker of {self.product.name} can be asked."
                " Describe one there."
            )
        filled = {**values, "worker_port": str(self.worker_port(group, port)), "group": str(group)}
        return Call(
            kind=request.kind,
            expect=request.expect,
            deadline=request.deadline,
            url=fill(request.url, filled),
            send=fill(request.send, filled),
            method=request.method,
            body=fill(request.body, filled),
            command=tuple(fill(word, filled) for word in request.command),
            environ=environ,
        )


def amount(text: str, groups: int, devices: int) -> int:
    """The value of a sum or product of ``groups``, ``devices`` and numbers."""
    known = {"groups": max(groups, 0), "devices": max(devices, 0)}
    terms = text.replace(" ", "").split("+")
    factors = ([known[name] if name in known else int(name) for name in term.split("*")] for term in terms)
    return sum(map(math.prod, factors))


OPTIONS_WORD = "{options}"
_LAYOUT = re.compile(r"\{groups\}.*\{devices\}", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace the ``{name}`` that are in ``values``; other braces stay as they are."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def names() -> tuple[str, ...]:
    """The shipped profiles."""
    return tuple(sorted(path.stem for path in (shipped_directory("conformance") / "servers").glob("*.toml")))


def load(name_or_path: str | Path) -> Profile:
    """Read a shipped profile by its name, or a file.

    :raises UserError: there is none, or it is malformed; the message names file, key and fix.
    """
    path = _find(name_or_path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The profile {path} is not valid TOML: {error}.") from None
    except OSError as error:
        raise UserError(f"The profile {path} cannot be read: {error.strerror}.") from None
    return _Reader(path.resolve()).profile(data)


def parse(data: Mapping[str, Any], path: str | Path) -> Profile:
    """A profile from what its TOML file would hold. ``path``: what ``{here}`` and messages refer to.

    :raises UserError: it is malformed; the message names the key and the fix.
    """
    return _Reader(Path(path).resolve()).profile(dict(data))


def _find(name_or_path: str | Path) -> Path:
    text = os.fspath(name_or_path)
    if text in names():
        return shipped_directory("conformance") / "servers" / f"{text}.toml"
    path = Path(text).expanduser()
    if path.is_file():
        return path
    nearest = difflib.get_close_matches(text, names(), n=1)
    raise UserError(
        f"There is no server profile {text!r}: it is neither one that ships ({', '.join(names())}) nor a"
        " file."
        + (f" Did you mean {nearest[0]!r}?" if nearest else " Name one of these, or the path of a profile's TOML file.")
    )


def find_program(program: str, environ: Mapping[str, str], profile: Profile) -> str:
    """The path of a program: on the PATH of ``environ``, then beside the running Python.

    :raises UserError: it is in neither place.
    """
    searched = environ.get("PATH", os.defpath)
    found = shutil.which(program, path=os.pathsep.join([searched, os.path.dirname(sys.executable)]))
    if found is None:
        raise UserError(
            f"The program {program!r} of {profile.product.name} is not installed here. It was looked for on"
            f" PATH ({searched}) and beside the running Python ({os.path.dirname(sys.executable)}). Install"
            f" {profile.product.name} into this environment, or write the program's full path into a copy of"
            f" the profile {profile.path} and name that file."
        )
    return os.path.abspath(found)


def version(profile: Profile, environ: Mapping[str, str] | None = None) -> str:
    """Ask the installed server for its version by its ``version_command``.

    :raises UserError: it is not installed, fails, takes longer than a minute, or names no version.
    """
    said, output = run(profile, profile.product.version_command, "[product].version_command", VERSION_LIMIT, environ)
    match = profile.product.version.search(output)
    if match is None:
        raise UserError(
            f"{said} printed no version that /{profile.product.version.pattern}/ matches: {output[:200]!r}."
            " Give a pattern with one group as [product].version."
        )
    return match[match.re.groups and 1]


def run(
    profile: Profile, words: Sequence[str], key: str, limit: float, environ: Mapping[str, str] | None = None
) -> tuple[str, str]:
    """Run a command of the profile's ``key`` for at most ``limit`` seconds: its description, and what it printed.

    :raises UserError: it is not installed, fails, or takes longer.
    """
    environ = {name: value for name, value in (environ or os.environ).items() if not HARNESS_VARIABLES.fullmatch(name)}
    values = profile.values(groups=0, devices=0, port=0)
    command = [fill(word, values) for word in words]
    said = f"`{' '.join(command)}` ({key} of {profile.path})"
    try:
        done = subprocess.run(
            [find_program(command[0], environ, profile), *command[1:]],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{said} did not end within {limit:g} s. Run it by hand to see why.") from None
    except OSError as error:
        raise UserError(f"{said} cannot be run: {error.strerror}.") from None
    output = done.stdout.decode(errors="replace").strip()
    if done.returncode != 0:
        last = output.splitlines()[-1] if output else "nothing"
        raise UserError(
            f"{said} failed with exit code {done.returncode}; it last wrote: {last[:300]}. Run it by hand to see why."
        )
    return said, output


class _Reader:
    """Turns the tables of one file into the classes above, and explains what is wrong with them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def profile(self, data: dict[str, Any]) -> Profile:
        self.check_keys(data, ("product", "server", "workers", "supports", "reports", "unsupported"), "")
        for required in ("product", "server"):
            if required not in data:
                self.fail(f"the table [{required}] is missing", "Every profile has [product] and [server].")
        profile = Profile(
            path=self.path,
            product=self.read(Product, data["product"], "product"),
            server=self.server(data["server"]),
            workers=self.workers(data.get("workers", {})),
            supports=self.supports(data.get("supports", {})),
            unsupported=self.unsupported(data.get("unsupported", [])),
            reports=self.reports(data.get("reports", {})),
        )
        if profile.server.ready.kind == "request" and profile.server.request is None:
            self.fail(
                "[server].request is missing, and without it nobody can know when a worker is ready",
                'Describe a request, or choose another sign of readiness: ready = {kind = "tcp"}.',
            )
        return profile

    def server(self, table: Any) -> Server:
        table = dict(self.table(table, "server"))
        parts = {
            "ready": self.read(Ready, table.pop("ready", {}), "server.ready"),
            **{name: self.request(table, name) for name in ("request", "load", "unload", "second_model")},
            "options": self.options(table.pop("options", {})),
        }
        server: Server = self.read(Server, table, "server", parts)
        self.check_server(server)
        self.check_ready(server.ready)
        if (server.load is None) != (server.unload is None):
            self.fail(
                "[server] has only one of load and unload",
                "Describe both, or neither: a model that was given up must be taken again.",
            )
        return server

    def request(self, table: dict[str, Any], name: str) -> Request | None:
        """The request that stands under ``name`` in the table of the server, taken out of it."""
        if name not in table:
            return None
        request: Request = self.read(Request, table.pop(name), f"server.{name}")
        self.check_request(request, f"server.{name}")
        return request

    def options(self, table: Any) -> Mapping[str, tuple[str, ...]]:
        where = "server.options"
        self.check_keys(self.table(table, where), OPTIONS, where)
        options = {name: self.value(words, "tuple[str, ...]", f"{where}.{name}") for name, words in table.items()}
        for name, words in options.items():
            for placeholder in OPTIONS[name]:
                if not any(f"{{{placeholder}}}" in word for word in words):
                    self.fail(
                        f"{where}.{name} = {list(words)!r} holds no {{{placeholder}}}",
                        f"Write {{{placeholder}}} where the server expects it.",
                    )
        return options

    def check_server(self, server: Server) -> None:
        if not server.command:
            self.fail(
                "[server].command is empty",
                'Give the program and its arguments: command = ["myserver", ...].',
            )
        if server.stop not in signal.Signals.__members__:
            self.fail(
                f"[server].stop = {server.stop!r} is no signal",
                "Use the name of one, such as SIGINT or SIGTERM.",
            )
        self.check_choice(server.launch, LAUNCH_POLICIES, "server.launch")
        self.check_amount(server.ports, "server.ports", "Write how many consecutive ports a launch uses")
        for name in server.env:
            if name in RESERVED_VARIABLES or name.startswith("GPU_VISIBILITY_"):
                self.fail(f"[server].env sets {name}, which belongs to the scenarios", "Remove it.")
        for name in server.values:
            if name in ("groups", "devices", "port", "host", "python", "here", "scratch", "worker_port", "group"):
                self.fail(f"[server].values sets {name}, which every launch sets itself", "Choose another name.")

    def check_amount(self, text: str, where: str, fix: str) -> None:
        if not re.fullmatch(r"(groups|devices|\d+)([+*](groups|devices|\d+))*", text.replace(" ", "")):
            self.fail(
                f"{where} = {text!r} is no sum or product of `groups`, `devices` and numbers",
                f'{fix}, such as "groups+1".',
            )

    def check_ready(self, ready: Ready) -> None:
        where = "server.ready"
        self.check_choice(ready.kind, READY_KINDS, f"{where}.kind")
        self.check_amount(ready.times, f"{where}.times", "Write how many times the log must say it")
        if ready.kind in ("http", "websocket") or (ready.kind == "tcp" and ready.url):
            self.check_address(ready.kind, ready.url, where, "health")
        if ready.kind == "command":
            self.check_command(ready.command, where)
        if ready.kind == "log" and not ready.expect.pattern:
            self.fail(f"[{where}].expect is missing", 'ready = {kind = "log", expect = "regular expression"}.')

    def check_request(self, request: Request, where: str = "server.request") -> None:
        self.check_choice(request.kind, REQUEST_KINDS, f"{where}.kind")
        if request.kind == "command":
            self.check_command(request.command, where)
        else:
            self.check_address(request.kind, request.url, where, "")

    def check_command(self, command: Sequence[str], where: str) -> None:
        if not command:
            key = where.rpartition(".")[2]
            self.fail(f"[{where}].command is missing", f'{key} = {{kind = "command", command = ["..."], ...}}.')

    def check_address(self, kind: str, url: str, where: str, path: str) -> None:
        scheme = {"websocket": "ws", "http": "http", "tcp": "tcp"}[kind]
        example = f"{scheme}://localhost:{{{'port' if path else 'worker_port'}}}/{path}"
        if not url:
            self.fail(f"[{where}].url is missing", f'Write, for instance, url = "{example}".')
        if not url.startswith(f"{scheme}://"):
            self.fail(
                f"[{where}].url = {url!r} is not of the form {scheme}://...", f'Write, for instance, "{example}".'
            )

    def supports(self, table: Any) -> Supports:
        supports = self.read(Supports, table, "supports")
        self.check_choice(supports.device_flag, DEVICE_FLAGS, "supports.device_flag")
        return supports

    def workers(self, table: Any) -> Workers:
        table = dict(self.table(table, "workers"))
        telltales = {name: self.telltale(table.pop(name), name) for name in ("worker", "balancer") if name in table}
        return self.read(Workers, table, "workers", telltales)

    def telltale(self, table: Any, name: str) -> Telltale:
        where = f"workers.{name}"
        found: Telltale = self.read(Telltale, table, where)
        if found == Telltale():
            self.fail(
                f"[workers].{name} says nothing of how to tell a {name}",
                f"Give one of argv, environ, port, touched: {name} = {{argv = 'regular expression'}}.",
            )
        if name == "balancer" and (found.port or found.touched):
            self.fail(f"[{where}] can tell by argv and environ only", "Remove port and touched.")
        for key, pattern in (("argv", found.argv), ("environ", found.environ)):
            unknown = set(pattern.groupindex) - {"group", "port"} if pattern is not None else ()
            if unknown:
                self.fail(
                    f"{where}.{key} captures {', '.join(sorted(unknown))}, which means nothing here",
                    "Name a captured part (?P<group>...) or (?P<port>...).",
                )
        return found

    def reports(self, table: Any) -> Reports:
        table = dict(self.table(table, "reports"))
        parts = {name: self.report(table.pop(name), name) for name in REPORT_GROUPS if name in table}
        reports: Reports = self.read(Reports, table, "reports", parts)
        self.check_url(reports.health, "reports.health")
        return reports

    def report(self, table: Any, name: str) -> Report:
        where = f"reports.{name}"
        report: Report = self.read(Report, table, where)
        self.check_url(report.url, f"{where}.url")
        for choices in REPORT_GROUPS[name]:
            asked_once_a_group = {"worker_port", "group"} & set(_PLACEHOLDER.findall(report.url))
            if not set(choices) & set(report.pattern.groupindex) and not (asked_once_a_group and "group" in choices):
                self.fail(
                    f"{where}.pattern = {report.pattern.pattern!r} has no group named {' or '.join(choices)}",
                    f"Name what it finds: (?P<{choices[0]}>...).",
                )
        return report

    def check_url(self, url: str, where: str) -> None:
        if url and not url.startswith("http://"):
            self.fail(
                f"{where} = {url!r} is not of the form http://...", 'Write, for instance, "http://localhost:{port}/".'
            )

    def unsupported(self, tables: Any) -> tuple[Unsupported, ...]:
        if not isinstance(tables, list):
            self.fail("unsupported is no list of tables", "Write each as [[unsupported]].")
        found = tuple(self.read(Unsupported, table, "unsupported") for table in tables)
        for entry in found:
            if not entry.reason.strip():
                self.fail(
                    f"[[unsupported]] for {entry.rule} gives no reason",
                    "Say why the server does not do this.",
                )
        return found

    def read(self, kind: Callable[..., T], table: Any, where: str, given: Mapping[str, Any] | None = None) -> T:
        """An instance of ``kind`` from a table of the same keys; ``given`` are fields already read."""
        given = given or {}
        fields = {entry.name: entry for entry in dataclasses.fields(kind)}  # type: ignore[arg-type]
        self.check_keys(self.table(table, where), fields, where)
        for name, entry in fields.items():
            required = entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
            if required and name not in table and name not in given:
                self.fail(
                    f"[{where}].{name} is missing",
                    "`gpu-visibility check --new NAME` writes a profile that explains every key.",
                )
        values = {name: self.value(value, str(fields[name].type), f"{where}.{name}") for name, value in table.items()}
        return kind(**values, **given)

    def value(self, value: Any, kind: str, where: str) -> Any:
        """``value`` as the type named ``kind``, which is as written in the classes above."""
        if kind == "str" and isinstance(value, str):
            return value
        if kind == "bool" and isinstance(value, bool):
            return value
        if kind == "int" and isinstance(value, int) and not isinstance(value, bool):
            return value
        if kind == "float" and isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return float(value)
        if kind.startswith("re.Pattern") and isinstance(value, str):
            return self.pattern(value, where)
        if kind == "tuple[str, ...]" and isinstance(value, list) and all(isinstance(word, str) for word in value):
            return tuple(value)
        if kind == "Mapping[str, str]" and isinstance(value, dict) and all(isinstance(v, str) for v in value.values()):
            return dict(value)
        wanted = {
            "str": "a string",
            "bool": "true or false",
            "int": "a whole number",
            "float": "a number of seconds above 0",
            "tuple[str, ...]": "a list of strings",
            "Mapping[str, str]": "a table of strings",
        }.get(kind, "a regular expression in a string")
        self.fail(f"{where} = {value!r} is not {wanted}", f"Make it {wanted}.")

    def pattern(self, value: Any, where: str) -> re.Pattern[str]:
        if not isinstance(value, str):
            self.fail(f"{where} = {value!r} is not a regular expression in a string", "Put it in quotes.")
        try:
            return re.compile(value)
        except re.error as error:
            self.fail(f"{where} = {value!r} is not a regular expression: {error}", "Correct it; see Python's `re`.")

    def table(self, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.fail(f"{where} = {value!r} is not a table", f"Write [{where}], or {where} = {{...}}.")
        return value

    def check_keys(self, table: Mapping[str, Any], known: Any, where: str) -> None:
        for key in table:
            if key not in known:
                nearest = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
                advice = f"Did you mean {nearest[0]!r}?" if nearest else f"Known here: {', '.join(known)}."
                self.fail(f"the key {where + '.' if where else ''}{key} is unknown", advice)

    def check_choice(self, value: str, choices: tuple[str, ...], where: str) -> None:
        if value not in choices:
            self.fail(f"{where} = {value!r} is none of {', '.join(choices)}", "Choose one of these.")

    def fail(self, problem: str, fix: str) -> NoReturn:
        raise UserError(f"The profile {self.path}: {problem}. {fix}")
