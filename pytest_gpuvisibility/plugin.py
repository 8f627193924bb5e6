"""pytest's hooks, and nothing but hooks: what they do is in ``selection``, ``judging`` and ``reports``.

Imports of our own modules stand inside the hooks, so that an idle plugin costs pytest next to nothing.
"""

from __future__ import annotations

import pytest

from . import lease_plugin
from .lease_plugin import gpu_lease
from .pytest_fixtures import SELECTION, gpu_inventory, gpu_visibility

__all__ = ["gpu_inventory", "gpu_lease", "gpu_visibility"]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gpu-visibility", "GPU visibility")
    _option(
        group,
        parser,
        "--gpu-visibility",
        "DEVICES",
        "Run under this mask, within the caller's own: ordinals, UUIDs, all, none",
    )
    _option(
        group,
        parser,
        "--gpu-inventory",
        "NAME|FILE|real",
        "Machine to run on (default: real where it has GPUs, else simulated a100x8)",
    )
    _option(group, parser, "--gpu-server", "NAME|FILE", "Server that the conformance suite judges")
    _option(
        group,
        parser,
        "--gpu-expect",
        "FILE|none",
        "Known violations, strict (default: those shipped for the server's version)",
    )
    help = "Only the conformance rules that match (repeatable)"
    group.addoption("--gpu-rule", metavar="GLOB", action="append", default=[], help=help)
    help = "Write the conformance report to this .json file (repeatable)"
    group.addoption("--gpu-report", metavar="PATH", action="append", default=[], help=help)
    group.addoption("--gpu-strict", action="store_true", help="A conformance rule that says SHOULD fails the run too")
    group.addoption("--gpu-certify", action="store_true", help="No conformance rule may be left out, declared or not")
    lease_plugin.add_options(parser, group)


def _option(group: pytest.OptionGroup, parser: pytest.Parser, flag: str, metavar: str, help: str) -> None:
    name = flag.removeprefix("--").replace("-", "_")
    group.addoption(flag, metavar=metavar, dest=name, default=None, help=help)
    parser.addini(name, f"{help}; as {flag}", default="")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    settings = [_setting(early_config, name) for name in ("gpu_inventory", "gpu_visibility")]
    lease = _setting(early_config, "gpu_lease")
    if not (any(settings) or lease_plugin.asked_for(lease)) or _setting(early_config, "gpu_server"):
        return
    from .errors import UserError
    from .selection import Setting, select

    try:
        inventory, visibility = (Setting(*setting) if setting else None for setting in settings)
        early_config.stash[SELECTION] = selection = select(inventory, visibility)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    early_config.add_cleanup(selection.undo)
    if lease and lease_plugin.asked_for(lease):
        lease_plugin.register(early_config, Setting(*lease))


def _setting(config: pytest.Config, name: str) -> tuple[str, str] | None:
    """A setting with where it came from; the command line wins."""
    given = getattr(config.known_args_namespace, name, None)
    if given is not None:
        return given, f"--{name.replace('_', '-')}"
    ini = config.getini(name)
    return (ini, f"{name} in {config.inipath.name if config.inipath else 'the ini file'}") if ini else None


def pytest_configure(config: pytest.Config) -> None:
    if _setting(config, "gpu_server"):
        from .errors import UserError
        from .trial_plugin import TrialPlugin

        try:
            config.pluginmanager.register(TrialPlugin.open(config), "gpu-visibility-trial")
        except UserError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_report_header(config: pytest.Config) -> str | None:
    return config.stash[SELECTION].header() if SELECTION in config.stash else None
