"""pytest's hooks, and nothing but hooks: what they do is in ``selection``, ``collecting``, ``judging`` and ``reports``.

Imports of our own modules stand inside the hooks, so that an idle plugin costs pytest next to nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from . import kernel_launch_report, lease_hooks, options
from .fixtures import (
    SELECTION,
    _gpu_place,
    clean_up,
    gpu_inventory,
    gpu_machine,
    gpu_machine_class,
    gpu_machine_module,
    gpu_machine_session,
    gpu_server,
    gpu_visibility,
    usage_errors,
    wants_place,
)
from .lease_hooks import gpu_lease

__all__ = [
    "_gpu_place",
    "gpu_inventory",
    "gpu_lease",
    "gpu_machine",
    "gpu_machine_class",
    "gpu_machine_module",
    "gpu_machine_session",
    "gpu_server",
    "gpu_visibility",
]

MARKERS = (
    "gpu_visibility(devices): run the test under this mask, within the run's own: ordinals, UUIDs, all, none",
    "gpu_inventory(name): run the test on that simulated machine: a shipped name or a TOML file",
    "gpu_count(n): skip the test where fewer than n GPUs are visible to it",
    "no_gpu: hide every GPU from the test",
)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from ..hooks import specs

    pluginmanager.add_hookspecs(specs)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gpu-visibility", "GPU visibility")
    options.add_options(parser, group, options.RUNNING)
    lease_hooks.add_options(parser, group)
    options.add_options(parser, group, options.JUDGING)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    inventory, masks = options.inventory(early_config), options.masks(early_config)
    lease = options.one(early_config, "gpu_lease")
    launch = options.one(early_config, "gpu_launch")
    asked = inventory or masks or launch or lease_hooks.asked_for(lease)
    if not asked or options.one(early_config, "gpu_server"):
        return
    from ..hooks.calls import inventory_finder
    from .session import Setting, select

    with usage_errors():
        options.check_lease_and_masks(lease_hooks.asked_for(lease), masks)
        early_config.stash[SELECTION] = selection = select(
            Setting(*inventory) if inventory else None,
            [Setting(*mask) for mask in masks],
            find=inventory_finder(early_config),
            launch=options.launch(early_config),
        )
    early_config.add_cleanup(selection.undo)
    if lease and lease_hooks.asked_for(lease):
        lease_hooks.register(early_config, Setting(*lease))


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    options.check_judging(config)
    options.take_over_ini(config)
    if options.one(config, "gpu_server"):
        from .suite_hooks import TrialPlugin

        with usage_errors():
            config.pluginmanager.register(TrialPlugin.open(config), "gpu-visibility-trial")
    elif options.runs_the_suite(config):
        from ..suite.trial import trial_of

        trial_of(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if SELECTION in metafunc.config.stash:
        from .collection import repeat_under_masks

        with usage_errors():
            repeat_under_masks(metafunc)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    concerned = [item for item in items if wants_place(item)]
    if concerned:
        from .collection import place_marked

        with usage_errors():
            place_marked(config, concerned)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call":
        kernel_launch_report.tell_of_refused(item, report)
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    kernel_launch_report.take_over(node.config, node.workeroutput if error is None else {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    kernel_launch_report.summarise(terminalreporter)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    kernel_launch_report.hand_over(session.config)
    clean_up(session.config)


def pytest_report_header(config: pytest.Config) -> str | None:
    return config.stash[SELECTION].header() if SELECTION in config.stash else None
