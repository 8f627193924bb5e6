"""The options and their ini keys: each has both, the command line wins, and every value knows where it came from."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


class Kind(enum.Enum):
    """How often an option may be given, and what with."""

    ONE = "one value"
    SEVERAL = "any number of values"
    SWITCH = "no value"


@dataclass(frozen=True)
class Option:
    """One option; its ini key is its ``name``. ``repeated``: what it means to give it more than once."""

    name: str
    help: str
    metavar: str = ""
    kind: Kind = Kind.ONE
    repeated: str = "repeatable"


RUNNING = (
    Option(
        "gpu_visibility",
        "Run under this mask, within the caller's own: ordinals, UUIDs, all, none",
        "DEVICES",
        Kind.SEVERAL,
        "repeatable: once under each",
    ),
    Option(
        "gpu_inventory",
        "Machine to run on (default: real where it has GPUs, else simulated a100x8)",
        "NAME|FILE|real",
    ),
    Option(
        "gpu_launch",
        "What a kernel launch does on simulated machines: fail, or nothing, successfully (default: error)",
        "error|noop",
    ),
)
JUDGING = (
    Option("gpu_server", "Server that the conformance suite judges, and gpu_server launches", "NAME|FILE"),
    Option("gpu_rule", "Only the conformance rules that match", "GLOB", Kind.SEVERAL),
    Option("gpu_expect", "Known violations, strict (default: those shipped for the server's version)", "FILE|none"),
    Option("gpu_strict", "A conformance rule that says SHOULD fails the run too", kind=Kind.SWITCH),
    Option("gpu_certify", "No conformance rule may be left out, declared or not", kind=Kind.SWITCH),
    Option(
        "gpu_report",
        "Write the conformance report to this .json or .html file, or a badge to this .svg",
        "PATH",
        Kind.SEVERAL,
    ),
)
FILES = ("gpu_inventory", "gpu_server", "gpu_expect")
"""Settings that may be paths: in an ini file they are relative to it."""


def add_options(parser: pytest.Parser, group: pytest.OptionGroup, options: Iterable[Option]) -> None:
    """Register options, and their ini keys of the same names with underscores."""
    for option in options:
        flag, dest, help = _flag(option.name), option.name, option.help
        if option.kind is Kind.SEVERAL:
            shown = f"{help} ({option.repeated})"
            group.addoption(flag, metavar=option.metavar, dest=dest, action="append", default=[], help=shown)
            parser.addini(dest, f"{help}; one a line, as {flag}", type="linelist", default=[])
        elif option.kind is Kind.ONE:
            group.addoption(flag, metavar=option.metavar, dest=dest, default=None, help=help)
            parser.addini(dest, f"{help}; as {flag}", default="")
        else:
            group.addoption(flag, dest=dest, action="store_true", default=False, help=help)
            parser.addini(dest, f"{help}; as {flag}", type="bool", default=False)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def one(config: pytest.Config, name: str) -> tuple[str, str] | None:
    """A setting with where it came from; None where there is none."""
    given = getattr(config.known_args_namespace, name, None)
    if given is not None:
        return given, _flag(name)
    ini = config.getini(name)
    return (_from_ini(config, name, ini), _ini_source(config, name)) if ini else None


def inventory(config: pytest.Config) -> tuple[str, str] | None:
    """--gpu-inventory, as :func:`one`."""
    return one(config, "gpu_inventory")


def masks(config: pytest.Config) -> list[tuple[str, str]]:
    """The masks of --gpu-visibility, each with where it came from."""
    given: Sequence[str] = getattr(config.known_args_namespace, "gpu_visibility", [])
    source = _flag("gpu_visibility") if given else _ini_source(config, "gpu_visibility")
    return [(mask, source) for mask in dict.fromkeys(given or config.getini("gpu_visibility"))]


def launch(config: pytest.Config) -> str:
    """What a kernel launch does on this session's simulated machines.

    :raises UserError: the setting is another word.
    """
    given = one(config, "gpu_launch")
    if given is None:
        return "error"
    if given[0] not in ("error", "noop"):
        from ..errors import UserError
        from .session import Setting

        raise UserError(
            f"{Setting(*given)}: a kernel launch on a simulated machine either fails (error, the default) or does"
            " nothing, successfully, and is counted (noop)."
        )
    return given[0]


def take_over_ini(config: pytest.Config) -> None:
    """Where an option was not given, let it have its ini key's value.

    :raises pytest.UsageError: a switch is neither true nor false there.
    """
    for option in (*RUNNING, *JUDGING):
        name = option.name
        if name != "gpu_visibility" and not getattr(config.option, name, None):
            value = _switch(config, name) if option.kind is Kind.SWITCH else config.getini(name)
            setattr(config.option, name, _from_ini(config, name, value) if name in FILES else value)


def _switch(config: pytest.Config, name: str) -> bool:
    try:
        return bool(config.getini(name))
    except (ValueError, TypeError, pytest.UsageError) as error:
        raise pytest.UsageError(
            f"{_ini_source(config, name)} is neither true nor false: {error}. Write true or false; or leave it out, and"
            f" give {_flag(name)} where it is wanted."
        ) from None


def runs_the_suite(config: pytest.Config) -> bool:
    """Whether the command line names the conformance suite, or a part of it, as a package."""
    suite = "pytest_gpuvisibility.conformance"
    return bool(config.option.pyargs) and any(argument.startswith(suite) for argument in config.args)


MASKED_BY_SCENARIOS = ("gpu_visibility", "gpu_lease", "gpu_launch")
"""Options about the tests' own GPUs: launches of a server on trial have a mask and a machine each."""


def check_judging(config: pytest.Config) -> None:
    """:raises pytest.UsageError: an option of the conformance suite was given, and nothing to judge; or the reverse."""
    judging = one(config, "gpu_server")
    for option in JUDGING:
        if not judging and (what := _given(config, option.name)):
            raise pytest.UsageError(
                f"{what} is about a server on trial, and none is given. Add --gpu-server=NAME (`gpu-visibility servers`"
                " lists them) or =FILE, or leave it out."
            )
    for name in MASKED_BY_SCENARIOS:
        if judging and (what := _given(config, name)) not in ("", "--gpu-lease=none"):
            raise pytest.UsageError(
                f"{what} is about the GPUs of the tests themselves, and {judging[1]} puts a server on trial: the rules"
                " choose the mask of each launch, and its profile what a kernel launch does. Leave one of them out;"
                " --gpu-inventory chooses the machine of the launches."
            )


def _given(config: pytest.Config, name: str) -> str:
    """An option as it was written on the command line; empty where it was not."""
    given = getattr(config.known_args_namespace, name, None)
    if not given:
        return ""
    value = given[0] if isinstance(given, list) else given
    return _flag(name) if value is True else f"{_flag(name)}={value}"


def check_lease_and_masks(leases: bool, masks: Sequence[tuple[str, str]]) -> None:
    """:raises UserError: leases and several masks, which would hand out devices beyond the lease."""
    if leases and len(masks) > 1:
        from ..errors import UserError

        raise UserError(
            f"{masks[0][1]} names {len(masks)} masks, and GPUs are to be leased as well; a lease is of one mask's"
            " devices. Give one mask, or --gpu-lease=none."
        )


def _from_ini(config: pytest.Config, name: str, value: Any) -> Any:
    if name in FILES and value and config.inipath is not None:
        beside = config.inipath.parent / Path(value)
        if beside.is_file():
            return str(beside)
    return value


def _ini_source(config: pytest.Config, name: str) -> str:
    return f"{name} in {config.inipath.name if config.inipath else 'the ini file'}"
