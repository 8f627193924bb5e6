"""One test in a process of its own: what is told to that process, and what it does.

It runs pytest for that test alone as pytest-xdist's workers do, which other plugins know: with ``config.workerinput``,
and a terminal that nobody sees. What it reports is reported by the process that asked.
"""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from _pytest.config import get_config
from _pytest.terminal import TerminalReporter

from ..environment import restore
from ..simulator import Machine, load_driver
from .gpu_session import GpuSession
from .measured import Measured
from .session import GIVEN, ISOLATED, SESSION

Send = Callable[[tuple[str, Any]], None]


@dataclass(frozen=True)
class Request:
    """Run the test ``nodeid``, of the file ``path``.

    ``options``: pytest's, by their names. ``session``: without its machine, which is in ``machine``. ``simulated``:
    what kernel launches do, where the simulated driver is to be there before any conftest is imported. ``measured``:
    how coverage.py measures.
    """

    nodeid: str
    path: str
    plugins: tuple[str, ...]
    options: Mapping[str, Any]
    directory: str
    sys_path: tuple[str, ...]
    argv: tuple[str, ...]
    environ: Mapping[str, str]
    worker: Mapping[str, Any]
    given: Mapping[str, str | None]
    session: GpuSession | None
    machine: Path | None
    simulated: str | None
    measured: Measured | None


def run(request: Request, send: Send) -> int:
    """Run the test; what becomes of it goes to ``send``, as pairs of a word and its value. Returns an exit code."""
    os.environ.clear()
    os.environ.update(request.environ)
    os.chdir(request.directory)
    sys.path[:], sys.argv[:] = request.sys_path, request.argv
    coverage = request.measured.start() if request.measured else None
    if request.simulated is not None:
        load_driver(request.simulated)
    first, rest = request.nodeid.partition("::")[::2]
    arguments = [f"{request.path}::{rest}" if rest else request.path or first]
    for plugin in request.plugins:
        arguments[:0] = ["-p", plugin]
    config = get_config(arguments)
    config.workerinput = dict(request.worker)  # type: ignore[attr-defined]
    config.workeroutput = {}  # type: ignore[attr-defined]
    config.stash[ISOLATED], config.stash[GIVEN] = True, dict(request.given)
    if request.session is not None:
        config.stash[SESSION] = _arrived(request.session, request.machine)
    config.option.__dict__.update(request.options)
    config.pluginmanager.register(_Reporter(request.nodeid, send), "gpu-visibility-isolated")
    config.parse(arguments, addopts=False)
    code = config.hook.pytest_cmdline_main(config=config)
    send(("output", config.workeroutput))  # type: ignore[attr-defined]
    if request.measured and coverage is not None:
        send(("coverage", request.measured.stop(coverage)))
    return int(code)


def _arrived(session: GpuSession, machine: Path | None) -> GpuSession:
    session.machine = Machine.open(machine) if machine else None
    if session.machine is not None and session.selected:
        session.machine.attach()
        restore(os.environ, session.variables)
    return session


class _Reporter:
    """Picks the test, and tells the process that asked."""

    def __init__(self, nodeid: str, send: Send) -> None:
        self._nodeid = nodeid
        self._send = send
        self._config: pytest.Config

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        self._config = config
        if config.pluginmanager.unregister(name="terminalreporter") is not None:  # plugins ask for it
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115, it is for the whole run
            config.add_cleanup(nowhere.close)
            config.pluginmanager.register(TerminalReporter(config, nowhere), "terminalreporter")

    def _serializable(self, report: pytest.CollectReport | pytest.TestReport) -> Any:
        return self._config.hook.pytest_report_to_serializable(config=self._config, report=report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._send(("uncollected", report.longreprtext))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid == self._nodeid][:1]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._send(("report", self._serializable(report)))

    def pytest_internalerror(self, excrepr: object) -> None:
        self._send(("error", str(excrepr)))

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: tuple[str, int, str] | None
    ) -> None:
        told = warning_message
        if when != "runtest":
            return  # the process that asked has had the others itself
        try:
            pickle.dumps((told.message, told.category))
            what = (told.message, told.category, told.filename, told.lineno)
        except Exception:  # whatever a class of somebody else does when it is pickled
            what = (UserWarning(str(told.message)), UserWarning, told.filename, told.lineno)
        self._send(("warning", (*what, when, nodeid, location)))

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        stopped = isinstance(excinfo.value, pytest.exit.Exception)
        self._send(("stopped", str(excinfo.value) if stopped else None))


def picklable(options: Mapping[str, Any], but: Sequence[str]) -> dict[str, Any]:
    """The options that can be told to another process."""
    found = {}
    for name, value in options.items():
        if name in but:
            continue
        try:
            pickle.dumps(value)
        except Exception:  # as above
            continue
        found[name] = value
    return found
