"""pytest's hooks, and nothing but hooks: what they do is in the modules beside this one.

Imports of our own modules stand inside the hooks, so that an idle plugin costs pytest next to nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from . import kernel_launch_report, markers, notes, options
from .fixtures import (
    _gpu_place,
    clean_up,
    gpu_inventory,
    gpu_lease,
    gpu_machine,
    gpu_machine_class,
    gpu_machine_module,
    gpu_machine_session,
    gpu_server,
    gpu_visibility,
    is_ours,
)
from .session import ISOLATED, SESSION, is_placed, remember_given, usage_errors

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


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from ..hooks import specs

    pluginmanager.add_hookspecs(specs)


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    remember_given(early_config)
    given = options.read(early_config)
    if given.server or not given.any_about_tests:
        return
    from . import watch

    if SESSION in early_config.stash:  # in the process of an isolated test
        watch.register(early_config)
        return
    given.check()
    from ..hooks import calls
    from .gpu_session import start

    with usage_errors():
        early_config.stash[SESSION] = session = start(
            given.inventory,
            given.masks,
            find=calls.inventory_finder(early_config),
            kernel_launches=given.kernel_launch_policy,
        )
    early_config.add_cleanup(session.undo)
    watch.register(early_config)
    if given.lease and given.leases:
        from . import lease_hooks

        lease_hooks.register(early_config, given.lease)


def pytest_configure(config: pytest.Config) -> None:
    for marker in markers.MARKERS:
        config.addinivalue_line("markers", marker.description)
    options.check_suite(config)
    options.take_over_ini(config)
    if options.read(config).server:
        from .suite_hooks import SuitePlugin

        with usage_errors():
            config.pluginmanager.register(SuitePlugin.open(config), "gpu-visibility-suite")
    elif options.runs_the_suite(config):
        from .suite_hooks import trial_of

        trial_of(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if SESSION in metafunc.config.stash:
        from .collection import repeat_under_masks

        with usage_errors():
            repeat_under_masks(metafunc)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    ours = [item for item in items if is_ours(item)]
    if ours or SESSION in config.stash or config.option.gpu_isolate:
        from .collection import isolate_some, place_marked

        with usage_errors():
            place_marked(config, ours)
        isolate_some(config, items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call":
        kernel_launch_report.tell_of_refused(item, report)
    return report


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    if op != "==" or not any(type(side).__name__ == "TouchedDevices" for side in (left, right)):
        return None
    from .asserts import compared

    return compared(left, right)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    output = node.workeroutput if error is None else {}
    kernel_launch_report.take_over(node.config, output)
    notes.take_over(node.config, output)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    kernel_launch_report.summarise(terminalreporter)
    notes.summarise(terminalreporter)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    kernel_launch_report.hand_over(session.config)
    notes.hand_over(session.config)
    clean_up(session.config)


def pytest_collection_finish(session: pytest.Session) -> None:
    of_xdist = hasattr(session.config, "workerinput") and ISOLATED not in session.config.stash
    if of_xdist and any(map(is_placed, session.items)):
        from .collection import tell_of_machines

        tell_of_machines(session.config, session.items)


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> str | None:
    if not any(map(is_placed, items)):
        return None
    from .collection import simulated_machines

    line = simulated_machines(config, items)
    return None if line is None else f"gpu-visibility: {line}"


def pytest_report_header(config: pytest.Config) -> str | None:
    return config.stash[SESSION].header() if SESSION in config.stash else None
