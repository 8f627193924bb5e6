"""From the tables of a profile's file to the classes of :mod:`.tables`, and what is wrong with them."""

from __future__ import annotations

import dataclasses
import difflib
import re
import signal
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from ..environment import OURS
from ..errors import UserError
from ..policies import KERNEL_LAUNCH_POLICIES
from .kinds import TEXTS, Kind, kind_of
from .model import PLACEHOLDER, Profile
from .tables import (
    DEVICE_FLAGS,
    OPTIONS,
    READY_KINDS,
    REPORT_GROUPS,
    REQUEST_KINDS,
    RESERVED_VARIABLES,
    ProcessPattern,
    Product,
    Ready,
    Report,
    Reports,
    Request,
    Server,
    Supports,
    Unsupported,
    Workers,
)

KEYS_EXPLAINED = "`gpu-visibility check --new NAME` writes a profile in which every key is explained."
SUM = re.compile(r"\{\s*(port|worker_port|group|groups|devices)\s*[-+*/][^{}]*\}")
T = TypeVar("T")


class Reader:
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
        options = {name: self.value(words, TEXTS, f"{where}.{name}") for name, words in table.items()}
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
        self.check_choice(server.launch, KERNEL_LAUNCH_POLICIES, "server.launch")
        self.check_amount(server.ports, "server.ports", "Write how many consecutive ports a launch uses")
        for name in server.env:
            if name in RESERVED_VARIABLES or name.startswith(OURS):
                self.fail(f"[server].env sets {name}, which belongs to the scenarios", "Remove it.")
        self.check_placeholders(server)
        for name in server.values:
            if name in ("groups", "devices", "port", "host", "python", "here", "scratch", "worker_port", "group"):
                self.fail(f"[server].values sets {name}, which every launch sets itself", "Choose another name.")

    def check_placeholders(self, server: Server) -> None:
        """Those that look as if they were filled in, and are not: the server would get them as they stand."""
        started = [("command", word) for word in server.command]
        started += [(f"env.{name}", value) for name, value in server.env.items()]
        for key, text in started:
            for name in ("worker_port", "group"):
                if f"{{{name}}}" in text:
                    self.fail(
                        f"[server].{key} holds {{{name}}}, which is of one worker, and it is filled in once for all",
                        "Use {port}, {groups} and {devices} here, and {worker_port} and {group} in requests.",
                    )
        requests = [(name, getattr(server, name)) for name in ("request", "load", "unload", "second_model")]
        asked = [(f"{name}.url", request.url) for name, request in requests if request is not None]
        for key, text in (*started, *asked, ("ready.url", server.ready.url)):
            sum = SUM.search(text)
            if sum is not None:
                self.fail(
                    f"[server].{key} holds {sum[0]}, and placeholders are not added up",
                    "The port of a worker is {worker_port}; further ports of the server's are for its own arithmetic.",
                )

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
        patterns = {
            name: self.process_pattern(table.pop(name), name) for name in ("worker", "balancer") if name in table
        }
        return self.read(Workers, table, "workers", patterns)

    def process_pattern(self, table: Any, name: str) -> ProcessPattern:
        where = f"workers.{name}"
        found: ProcessPattern = self.read(ProcessPattern, table, where)
        if found == ProcessPattern():
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
            asked_once_a_group = {"worker_port", "group"} & set(PLACEHOLDER.findall(report.url))
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
                    KEYS_EXPLAINED,
                )
        hints = typing.get_type_hints(kind)
        values = {name: self.value(value, kind_of(hints[name]), f"{where}.{name}") for name, value in table.items()}
        return kind(**values, **given)

    def value(self, value: Any, kind: Kind, where: str) -> Any:
        """``value`` as the field has it."""
        try:
            return kind.read(value)
        except TypeError:
            self.fail(f"{where} = {value!r} is not {kind.words}", f"Make it {kind.words}.")
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
