"""The hooks of a session that judges a server or the driver; registered only where ``--gpu-server`` is given."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ..conformance import catalogue
from ..errors import UserError
from ..host.directories import SessionDirectory
from ..reports import files, terminal, write
from ..suite import trial as judging
from ..suite.harness_errors import HARNESS_ERRORS, in_words
from ..suite.trial import TRIAL, Trial
from ..suite.verdicts import Rule

HEARTBEAT = 5.0
"""Seconds between two signs of life while a server starts for the first time."""


class TrialPlugin:
    """Thin hooks around a :class:`Trial`. The controller owns the session's directory; workers are told where it is."""

    def __init__(self, config: pytest.Config, trial: Trial, room: Path, is_worker: bool) -> None:
        self.config = config
        self.trial = trial
        self.room = room
        self.is_worker = is_worker
        self.started = time.monotonic()
        self.unwritten: list[str] = []
        self.failed_to_write = False

    @classmethod
    def open(cls, config: pytest.Config) -> TrialPlugin:
        """:raises UserError: a profile, rule, report path or expectations file that does not exist or is malformed."""
        rules = catalogue(judging.family_of(config))
        judging.check_globs(config.getoption("gpu_rule"), rules)
        files.check_paths(config.getoption("gpu_report"))
        worker: dict[str, Any] | None = getattr(config, "workerinput", None)
        try:
            trial, room = cls._open(config, rules, worker)
        except HARNESS_ERRORS as error:
            raise UserError(in_words(error)) from error
        config.stash[TRIAL] = trial
        return cls(config, trial, room, worker is not None)

    @staticmethod
    def _open(config: pytest.Config, rules: Sequence[Rule], worker: dict[str, Any] | None) -> tuple[Trial, Path]:
        if worker is not None:
            room = Path(worker["gpu_room"])
            trial = judging.open_trial(config, room, rules, worker["gpu_version"])
        else:
            directory = SessionDirectory()
            config.add_cleanup(directory.close)
            room = directory.path
            trial = judging.open_trial(config, room, rules)
        return trial, room

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput |= {"gpu_room": str(self.room), "gpu_version": self.trial.subject.version}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if self.is_worker or self.config.option.collectonly:
            return
        self._say(f"{self.trial.subject.first_step} ...")
        try:
            with self._heartbeat():
                outcome = self.trial.subject.control()
        except UserError as error:
            raise pytest.UsageError(str(error)) from None
        except HARNESS_ERRORS as error:
            raise pytest.UsageError(in_words(error)) from error
        self._say(f"{outcome}; now the rules")

    @contextlib.contextmanager
    def _heartbeat(self) -> Iterator[None]:
        """Say every few seconds that the first launch still goes on."""
        began, ended = time.monotonic(), threading.Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT):
                self._say(f"... not ready after {time.monotonic() - began:.0f} s")

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _say(self, text: str) -> None:
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"gpu-visibility: {text}")

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        kept, dropped = judging.select(items, config.getoption("gpu_rule"))
        if dropped:
            config.hook.pytest_deselected(items=dropped)
        judging.mark_known(kept, self.trial)
        items[:] = judging.order(kept)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        rule = judging.rule_of_item(pyfuncitem)
        return (yield) if rule is None else (yield from judging.judge(pyfuncitem, rule))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        judging.send(item, call, report)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not self.is_worker:
            judging.receive(self.trial, report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.is_worker or not self.trial.results:
            return
        if exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR):
            if self.config.getoption("gpu_report"):
                self.unwritten.append("The run did not come to its end: no report was written.")
            return
        for path in self.config.getoption("gpu_report"):
            try:
                write.write_trial(Path(path), self.trial)
            except UserError as error:
                self.unwritten.append(str(error))
                self.failed_to_write = True
                session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        if not self.trial.results:
            return
        seconds = time.monotonic() - self.started
        code = pytest.ExitCode.USAGE_ERROR if self.failed_to_write else exitstatus
        terminalreporter.section("GPU visibility", bold=True)
        for line in terminal.summary(self.trial, seconds, int(code)):
            terminalreporter.write_line(line)
        for error in self.unwritten:
            terminalreporter.write_line(f"ERROR: {error}", red=True)
