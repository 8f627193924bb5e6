"""The options and their ini keys: each has both, the command line wins, and every value knows where it came from."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..policies import KERNEL_LAUNCH_POLICIES

LEASE_POLICIES = ("none", "worker", "worker:N", "test")
DEFAULT_LEASE_TIMEOUT = "600"


class Kind(enum.Enum):
    """How often an option may be given, and what with."""

    ONE = "one value"
    SEVERAL = "any number of values"
    SWITCH = "no value"
    INI = "in the ini file alone"


@dataclass(frozen=True)
class PytestOption:
    """One option; its ini key is its ``name``. ``repeated``: what it means to give it more than once."""

    name: str
    help: str
    metavar: str = ""
    kind: Kind = Kind.ONE
    repeated: str = "repeatable"
    default: str = ""


RUNNING = (
    PytestOption(
        "gpu_visibility",
        "Run under this mask, within the caller's own: ordinals, UUIDs, all, none",
        "DEVICES",
        Kind.SEVERAL,
        "repeatable: once under each",
    ),
    PytestOption(
        "gpu_inventory",
        "Machine to run on (default: real where it has GPUs, else simulated a100x8)",
        "NAME|FILE|real",
    ),
    PytestOption(
        "gpu_launch",
        "What a kernel launch does on simulated machines: fail, or nothing, successfully (default: error)",
        "|".join(KERNEL_LAUNCH_POLICIES),
    ),
    PytestOption(
        "gpu_lease",
        "Give each pytest-xdist worker, or each test, GPUs of its own (default: none)",
        "|".join(LEASE_POLICIES),
    ),
    PytestOption(
        "gpu_isolate", "Run each test that is given GPUs of its own in a process of its own", kind=Kind.SWITCH
    ),
    PytestOption(
        "gpu_lease_timeout",
        f"Seconds to wait for GPUs that others hold under --gpu-lease (default: {DEFAULT_LEASE_TIMEOUT})",
        kind=Kind.INI,
        default=DEFAULT_LEASE_TIMEOUT,
    ),
)
SUITE = (
    PytestOption("gpu_server", "Server that the conformance suite judges, and gpu_server launches", "NAME|FILE"),
    PytestOption("gpu_rule", "Only the conformance rules that match", "GLOB", Kind.SEVERAL),
    PytestOption(
        "gpu_expect", "Known violations, strict (default: those shipped for the server's version)", "FILE|none"
    ),
    PytestOption("gpu_strict", "A conformance rule that says SHOULD fails the run too", kind=Kind.SWITCH),
    PytestOption("gpu_certify", "No conformance rule may be left out, declared or not", kind=Kind.SWITCH),
    PytestOption(
        "gpu_report",
        "Write the conformance report to this .json or .html file, or a badge to this .svg",
        "PATH",
        Kind.SEVERAL,
    ),
)
FILES = ("gpu_inventory", "gpu_server", "gpu_expect")
"""Options that may be paths: in an ini file they are relative to it."""
ABOUT_TESTS = ("gpu_visibility", "gpu_lease", "gpu_launch")
"""Options about the tests' own GPUs: launches of a server on trial have a mask and a machine each."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value with where it came from, for messages: ``--gpu-visibility``, ``gpu_visibility in pyproject.toml``."""

    value: str
    source: str

    def __str__(self) -> str:
        return f"{self.source}={self.value}" if self.source.startswith("-") else f"{self.source} = {self.value}"


@dataclass(frozen=True, slots=True)
class Options:
    """What was given for the tests' own GPUs, and where; None and nothing for what was not."""

    masks: tuple[Setting, ...]
    inventory: Setting | None
    kernel_launches: Setting | None
    lease: Setting | None
    server: Setting | None

    @property
    def leases(self) -> bool:
        return self.lease is not None and self.lease.value != "none"

    @property
    def any_about_tests(self) -> bool:
        """Whether the session is to be put on a machine, or under a mask, from the start."""
        return bool(self.inventory or self.masks or self.kernel_launches or self.leases)

    @property
    def kernel_launch_policy(self) -> str:
        """What a kernel launch does on this session's simulated machines."""
        return self.kernel_launches.value if self.kernel_launches else KERNEL_LAUNCH_POLICIES[0]

    def check(self) -> None:
        """:raises pytest.UsageError: a value that means nothing, or leases and several masks, which would hand out
        devices beyond the lease.
        """
        launches, lease = self.kernel_launches, self.lease
        if launches is not None and launches.value not in KERNEL_LAUNCH_POLICIES:
            raise pytest.UsageError(
                f"{launches}: a kernel launch on a simulated machine either fails (error, the default) or does"
                " nothing, successfully, and is counted (noop)."
            )
        if lease is not None and lease.value not in ("none", "worker", "test") and not share_of(lease):
            raise pytest.UsageError(
                f"{lease} is no way to lease GPUs. Use worker (each pytest-xdist worker has its own for the session),"
                " worker:N (N of them), test (each test has its own while it runs), or none."
            )
        if self.leases and len(self.masks) > 1:
            raise pytest.UsageError(
                f"{self.masks[0].source} names {len(self.masks)} masks, and GPUs are to be leased as well; a lease is"
                " of one mask's devices. Give one mask, or --gpu-lease=none."
            )


def share_of(lease: Setting) -> int:
    """The N of ``worker:N``; 0 where there is none."""
    number = lease.value.removeprefix("worker:") if lease.value.startswith("worker:") else ""
    return int(number) if re.fullmatch("[1-9][0-9]{0,3}", number) else 0


def read(config: pytest.Config) -> Options:
    """As the command line and the ini file say; asked before any conftest is imported, and later."""
    return Options(
        masks=_masks(config),
        inventory=_one(config, "gpu_inventory"),
        kernel_launches=_one(config, "gpu_launch"),
        lease=_one(config, "gpu_lease"),
        server=_one(config, "gpu_server"),
    )


def add(parser: pytest.Parser) -> None:
    """Register all options, and their ini keys of the same names with underscores."""
    group = parser.getgroup("gpu-visibility", "GPU visibility")
    for option in (*RUNNING, *SUITE):
        flag, dest, help = _flag(option.name), option.name, option.help
        if option.kind is Kind.SEVERAL:
            shown = f"{help} ({option.repeated})"
            group.addoption(flag, metavar=option.metavar, dest=dest, action="append", default=[], help=shown)
            parser.addini(dest, f"{help}; one a line, as {flag}", type="linelist", default=[])
        elif option.kind is Kind.ONE:
            group.addoption(flag, metavar=option.metavar, dest=dest, default=None, help=help)
            parser.addini(dest, f"{help}; as {flag}", default="")
        elif option.kind is Kind.SWITCH:
            group.addoption(flag, dest=dest, action="store_true", default=False, help=help)
            parser.addini(dest, f"{help}; as {flag}", type="bool", default=False)
        else:
            parser.addini(dest, help, default=option.default)


def as_given(config: pytest.Config) -> dict[str, object]:
    """Ours as the command line has them, for a process that reads the same ini file."""
    names = [option.name for option in (*RUNNING, *SUITE) if option.kind is not Kind.INI]
    return {name: getattr(config.known_args_namespace, name, None) for name in names}


def take_over_ini(config: pytest.Config) -> None:
    """Where an option was not given, let it have its ini key's value.

    :raises pytest.UsageError: a switch is neither true nor false there.
    """
    for option in (*RUNNING, *SUITE):
        name = option.name
        if option.kind is Kind.INI or name in ABOUT_TESTS[:2] or getattr(config.option, name, None):
            continue  # masks and leases are in force by now
        value = _switch(config, name) if option.kind is Kind.SWITCH else config.getini(name)
        setattr(config.option, name, _from_ini(config, name, value) if name in FILES else value)


def check_suite(config: pytest.Config) -> None:
    """:raises pytest.UsageError: an option of the conformance suite was given, and nothing to judge; or the reverse."""
    server = _one(config, "gpu_server")
    for option in SUITE:
        if not server and (what := _given(config, option.name)):
            raise pytest.UsageError(
                f"{what} is about a server on trial, and none is given. Add --gpu-server=NAME (`gpu-visibility servers`"
                " lists them) or =FILE, or leave it out."
            )
    for name in ABOUT_TESTS:
        if server and (what := _given(config, name)) not in ("", "--gpu-lease=none"):
            raise pytest.UsageError(
                f"{what} is about the GPUs of the tests themselves, and {server.source} puts a server on trial: the"
                " rules choose the mask of each launch, and its profile what a kernel launch does. Leave one of them"
                " out; --gpu-inventory chooses the machine of the launches."
            )


def runs_the_suite(config: pytest.Config) -> bool:
    """Whether the command line names the conformance suite, or a part of it, as a package."""
    suite = "pytest_gpuvisibility.conformance"
    return bool(config.option.pyargs) and any(argument.startswith(suite) for argument in config.args)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _one(config: pytest.Config, name: str) -> Setting | None:
    given = getattr(config.known_args_namespace, name, None)
    if given is not None:
        return Setting(given, _flag(name))
    ini = config.getini(name)
    return Setting(_from_ini(config, name, ini), _ini_source(config, name)) if ini else None


def _masks(config: pytest.Config) -> tuple[Setting, ...]:
    given: list[str] = getattr(config.known_args_namespace, "gpu_visibility", [])
    source = _flag("gpu_visibility") if given else _ini_source(config, "gpu_visibility")
    return tuple(Setting(mask, source) for mask in dict.fromkeys(given or config.getini("gpu_visibility")))


def _switch(config: pytest.Config, name: str) -> bool:
    try:
        return bool(config.getini(name))
    except (ValueError, TypeError, pytest.UsageError) as error:
        raise pytest.UsageError(
            f"{_ini_source(config, name)} is neither true nor false: {error}. Write true or false; or leave it out, and"
            f" give {_flag(name)} where it is wanted."
        ) from None


def _given(config: pytest.Config, name: str) -> str:
    """An option as it was written on the command line; empty where it was not."""
    given = getattr(config.known_args_namespace, name, None)
    if not given:
        return ""
    value = given[0] if isinstance(given, list) else given
    return _flag(name) if value is True else f"{_flag(name)}={value}"


def _from_ini(config: pytest.Config, name: str, value: Any) -> Any:
    if name in FILES and value and config.inipath is not None:
        beside = config.inipath.parent / Path(value)
        if beside.is_file():
            return str(beside)
    return value


def _ini_source(config: pytest.Config, name: str) -> str:
    return f"{name} in {config.inipath.name if config.inipath else 'the ini file'}"
