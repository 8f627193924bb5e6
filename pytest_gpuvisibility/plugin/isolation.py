"""Tests in a process of their own: which, and how what becomes of them is reported as if they had run here."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection, Pipe
from typing import Any

import pytest

from ..inventory import has_driver
from . import kernel_launch_report, measured, notes, options
from .isolated_run import Request, picklable
from .markers import ISOLATED as MARKER
from .own_process import own_process
from .placement import asks_for_machine, destination
from .session import GIVEN, SESSION, is_placed

OF_THIS_PROCESS: dict[str, Any] = {
    "cacheclear": False, "collectonly": False, "debug": None, "deselect": None, "dist": "no", "distload": False,
    "failedfirst": False, "gpu_isolate": False, "gpu_report": [], "keyword": "", "lf": False, "looponfail": False,
    "markexpr": "", "maxfail": 0, "maxprocesses": None, "newfirst": False, "no_cov": True, "numprocesses": None,
    "stepwise": False, "stepwise_skip": False, "trace": False, "tx": [], "usepdb": False,
}  # fmt: skip
"""Options that are about the whole run, or about a terminal, with what they are in a process of one test."""
NAME = "gpu-visibility-isolation"
BY_ITSELF = (
    "Tests that ran in a process of their own: {count}; CUDA in pytest's own shows other GPUs than they were given"
)
BESIDE_DRIVER = (
    "Tests on simulated machines that ran in a process of their own: {count}; this machine has a driver, and a process"
    " can have one alone"
)
TIME_TO_REPORT = 30.0
"""Seconds that the process of a test has to say so itself, when its time is out."""


class ForkServer:
    """The process of :mod:`.fork_server`, which is started when it is first asked."""

    def __init__(self, plugins: tuple[str, ...]) -> None:
        self._plugins = plugins
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection

    def start(self) -> None:
        """Begin to start it, without waiting until it is ready."""
        if self._process is not None:
            return
        self._connection, theirs = Pipe()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; from pytest_gpuvisibility.plugin.fork_server import main;"
            f" sys.exit(main({str(theirs.fileno())!r}))"
        )
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        self._process = subprocess.Popen(
            [sys.executable, *flags, "-c", code],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=measured.unmeasured(os.environ),
        )
        theirs.close()
        self._connection.send([word for name in self._plugins if name.startswith("no:") for word in ("-p", name)])

    def run(self, request: Request) -> Iterator[tuple[str, Any]]:
        """What comes of it; the last is ("ended", wait status), which is None where the server itself died."""
        self.start()
        try:
            self._connection.send(request)
            word, patience = "", None
            while word != "ended":
                try:
                    there = self._connection.poll(patience)
                except pytest.fail.Exception as late:  # pytest-timeout's, whose signal the other process gets too
                    out_of_time, patience = late, TIME_TO_REPORT
                    continue
                if not there:
                    self.close()
                    yield "error", f"{out_of_time}\nThe process of the test did not end by itself, and was killed."
                    return
                word, value = self._connection.recv()
                yield word, value
        except (EOFError, OSError):
            self.close()
            yield "ended", None
        except BaseException:
            self.close()  # what it runs goes with it
            raise

    def close(self) -> None:
        """End it, and what it runs. Twice does no harm."""
        process, self._process = self._process, None
        if process is not None:
            self._connection.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(TIME_TO_REPORT)
            process.kill()
            process.wait()


class Isolation:
    """pytest's hooks for tests that may need a process of their own; registered where there is one."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._plugins: tuple[str, ...] = tuple(config.option.plugins)
        self._server = ForkServer(self._plugins)
        self._numbers = 0
        config.add_cleanup(self._server.close)

    def prepare(self) -> None:
        """Let the server start while the first tests run."""
        self._server.start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if not self._is_isolated(item):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        self._run(item)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _is_isolated(self, item: pytest.Item) -> bool:
        if is_told(self._config, item):
            return True
        if is_wanted(self._config, item):
            notes.note(self._config, BESIDE_DRIVER)
            return True
        place = destination(item)
        if place is None or not own_process(self._config).is_elsewhere(place.devices, place.kind):
            return False
        notes.note(self._config, BY_ITSELF)
        return True

    # ---- how ----

    def _run(self, item: pytest.Item) -> None:
        phase, ended, told = "setup", False, False
        status: int | None = None
        for word, value in self._server.run(self._request(item)):
            if word == "report":
                report = self._config.hook.pytest_report_from_serializable(config=self._config, data=value)
                phase = {"setup": "call", "call": "teardown"}.get(report.when, report.when)
                ended, told = report.when == "teardown", True
                item.ihook.pytest_runtest_logreport(report=report)
            elif word == "warning":
                self._warn(item, value)
            elif word == "output":
                notes.take_over(self._config, value)
                kernel_launch_report.take_over(self._config, value)
            elif word == "coverage":
                measured.add(value)
            elif word == "stopped":
                raise KeyboardInterrupt if value is None else pytest.exit.Exception(value)
            elif word in ("error", "uncollected"):
                self._report(item, phase, value)
                told = ended = True
            elif word == "ended":
                status = value
        if not ended:
            self._report(item, phase, f"{_ending(status, told)} in the process of this test, {item.nodeid}.")

    def _report(self, item: pytest.Item, phase: str, text: str) -> None:
        report = pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords=dict.fromkeys(item.keywords, 1),
            outcome="failed",
            longrepr=text,
            when=phase if phase in ("setup", "call", "teardown") else "call",  # type: ignore[arg-type]
        )
        item.ihook.pytest_runtest_logreport(report=report)

    def _warn(self, item: pytest.Item, told: tuple[Any, ...]) -> None:
        message, category, filename, line, when, nodeid, location = told
        recorded = warnings.WarningMessage(message, category, filename, line)
        self._config.hook.pytest_warning_recorded.call_historic(
            kwargs={"warning_message": recorded, "when": when, "nodeid": nodeid, "location": location}
        )

    def _request(self, item: pytest.Item) -> Request:
        config, self._numbers = self._config, self._numbers + 1
        given_variables = config.stash[GIVEN]
        session = config.stash.get(SESSION, None)
        machine = session.machine.directory if session is not None and session.machine is not None else None
        given = picklable(vars(config.option), but=("plugins", "file_or_dir", *OF_THIS_PROCESS))
        as_given = options.as_given(config)
        own = {name: value for name, value in OF_THIS_PROCESS.items() if hasattr(config.option, name)}
        factory = getattr(config, "_tmp_path_factory", None)
        if factory is not None:
            own["basetemp"] = str(factory.getbasetemp() / f"isolated-{self._numbers}")
        own["rootdir"] = str(config.rootpath)
        own["inifilename"] = str(config.inipath) if config.inipath else None
        policy = options.read(config).kernel_launch_policy
        return Request(
            nodeid=item.nodeid,
            path=str(item.path),
            plugins=self._plugins,
            options={**given, **as_given, **own},
            directory=str(config.invocation_params.dir),
            sys_path=tuple(sys.path),
            argv=tuple(sys.argv),
            environ=dict(os.environ),
            worker=self._worker(),
            given=given_variables,
            session=None if session is None else session.to_send(),
            machine=machine,
            simulated=policy if asks_for_machine(item) else None,
            measured=measured.measured(),
        )

    def _worker(self) -> dict[str, Any]:
        """What pytest-xdist tells its workers: plugins ask whether it is there, its fixtures what it is."""
        theirs = getattr(self._config, "workerinput", None)
        if theirs is not None:
            return dict(theirs)
        return {"workerid": "master", "workercount": 1, "testrunuid": "isolated", "mainargv": sys.argv}


def _ending(status: int | None, told: bool) -> str:
    if status is None:
        return "The server that starts processes for tests died"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"{signal.strsignal(number) or 'A signal'} ({signal.Signals(number).name}) ended the run"
    if not told:
        return "The test was not found again, as it is only there in the run that collected it,"
    return f"Exit code {os.WEXITSTATUS(status)} ended the run before its end"


def is_told(config: pytest.Config, item: pytest.Item) -> bool:
    """Whether a marker or an option says that a test runs in a process of its own."""
    return bool(item.get_closest_marker(MARKER.name)) or bool(config.option.gpu_isolate and is_placed(item))


def is_wanted(config: pytest.Config, item: pytest.Item) -> bool:
    """Whether a test is to run in a process of its own, come what may."""
    return is_told(config, item) or (asks_for_machine(item) and _has_driver_of_its_own(config))


def _has_driver_of_its_own(config: pytest.Config) -> bool:
    """Whether programs on this machine find a driver that is not simulated: a process can have one of both alone."""
    simulated = SESSION in config.stash and config.stash[SESSION].machine is not None
    return not simulated and has_driver()


def register(config: pytest.Config) -> Isolation:
    """For a run in which tests may need processes of their own."""
    found: Isolation | None = config.pluginmanager.get_plugin(NAME)
    if found is None:
        found = Isolation(config)
        config.pluginmanager.register(found, NAME)
    return found
