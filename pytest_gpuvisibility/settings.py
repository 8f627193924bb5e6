"""The options and their ini keys: each has both, the command line wins, and every value knows where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

ONE_VALUE = {
    "gpu_inventory": ("NAME|FILE|real", "Machine to run on (default: real where it has GPUs, else simulated a100x8)"),
    "gpu_launch": (
        "error|noop",
        "What a kernel launch does on simulated machines: fail, or nothing, successfully (default: error)",
    ),
    "gpu_server": ("NAME|FILE", "Server that the conformance suite judges"),
    "gpu_expect": ("FILE|none", "Known violations, strict (default: those shipped for the server's version)"),
}
SEVERAL_VALUES = {
    "gpu_visibility": (
        "DEVICES",
        "Run under this mask, within the caller's own: ordinals, UUIDs, all, none (repeatable: once under each)",
    ),
    "gpu_rule": ("GLOB", "Only the conformance rules that match (repeatable)"),
    "gpu_report": (
        "PATH",
        "Write the conformance report to this .json or .html file, or a badge to this .svg (repeatable)",
    ),
}
SWITCHES = {
    "gpu_strict": "A conformance rule that says SHOULD fails the run too",
    "gpu_certify": "No conformance rule may be left out, declared or not",
}
FILES = ("gpu_inventory", "gpu_server", "gpu_expect")
"""Settings that may be paths: in an ini file they are relative to it."""


def add_options(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Register every option but those of ``lease_plugin``, and its ini key of the same name with underscores."""
    for name, (metavar, help) in SEVERAL_VALUES.items():
        group.addoption(_flag(name), metavar=metavar, dest=name, action="append", default=[], help=help)
        parser.addini(name, f"{help}; as {_flag(name)}, one a line", type="linelist", default=[])
    for name, (metavar, help) in ONE_VALUE.items():
        group.addoption(_flag(name), metavar=metavar, dest=name, default=None, help=help)
        parser.addini(name, f"{help}; as {_flag(name)}", default="")
    for name, help in SWITCHES.items():
        group.addoption(_flag(name), dest=name, action="store_true", default=False, help=help)
        parser.addini(name, f"{help}; as {_flag(name)}", type="bool", default=False)


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
        from .errors import UserError
        from .selection import Setting

        raise UserError(
            f"{Setting(*given)}: a kernel launch on a simulated machine either fails (error, the default) or does"
            " nothing, successfully, and is counted (noop)."
        )
    return given[0]


def take_over_ini(config: pytest.Config) -> None:
    """Where an option of the conformance suite was not given, let it have its ini key's value."""
    for name in (*ONE_VALUE, *SEVERAL_VALUES, *SWITCHES):
        if name != "gpu_visibility" and not getattr(config.option, name, None):
            value = config.getini(name)
            setattr(config.option, name, _from_ini(config, name, value) if name in FILES else value)


def check_lease_and_masks(leases: bool, masks: Sequence[tuple[str, str]]) -> None:
    """:raises UserError: leases and several masks, which would hand out devices beyond the lease."""
    if leases and len(masks) > 1:
        from .errors import UserError

        raise UserError(
            f"{masks[0][1]} names {len(masks)} masks, and GPUs are to be leased as well; a lease is of one mask's"
            " devices. Give one mask, or --gpu-lease=none."
        )


def _from_ini(config: pytest.Config, name: str, value: str) -> str:
    if name in FILES and value and config.inipath is not None:
        beside = config.inipath.parent / Path(value)
        if beside.is_file():
            return str(beside)
    return value


def _ini_source(config: pytest.Config, name: str) -> str:
    return f"{name} in {config.inipath.name if config.inipath else 'the ini file'}"
