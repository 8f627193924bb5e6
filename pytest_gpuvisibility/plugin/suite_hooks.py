"""The hooks of a session that judges a server or the driver; registered only where ``--gpu-server`` is given.

pytest runs the rules, in as many pytest-xdist workers as the user likes. The controller opens the trial and collects
the results; workers get what they need through ``workerinput`` and send results as attributes of test reports.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ..conformance import catalogue
from ..errors import UserError
from ..hooks import calls
from ..host import SessionDirectory
from ..plain import from_plain, to_plain
from ..profile import DRIVER, names
from ..reports import files, terminal, write
from ..suite import (
    HARNESS_ERRORS,
    LEFT_OUT,
    Basis,
    Family,
    NotDescribed,
    Rule,
    RuleResult,
    Subject,
    Trial,
    Unjudged,
    Verdict,
    Violation,
    check_globs,
    in_words,
    matches,
    open_driver,
    open_server,
    rule_of,
)
from .lost_rules import LostRules

HEARTBEAT = 5.0
"""Seconds between two signs of life while a server starts for the first time."""
SLOW_FAMILY = "LIF"
"""Rules that wait for a server to end: they go first, spread over the pytest-xdist workers."""
RESULT_ATTRIBUTE = "gpu_result"
WRONG_PROFILE = 2
"""Exit code of a run that was over with the first launch: there is nothing to judge by."""
LEFT_OUT_WORDS = {Verdict.DOES_NOT_APPLY: "does not apply", Verdict.NOT_DECLARED: "is not declared"}

TRIAL = pytest.StashKey["Trial"]()
RESULT = pytest.StashKey[RuleResult]()
BASIS = pytest.StashKey[Basis]()


def trial_of(config: pytest.Config) -> Trial:
    """The session's trial.

    :raises pytest.UsageError: no --gpu-server was given.
    """
    if TRIAL not in config.stash:
        raise pytest.UsageError(
            "The conformance suite needs a server to judge: give --gpu-server=NAME (one of"
            f" {', '.join(names())}), --gpu-server=FILE (a profile; `gpu-visibility check --new NAME` writes"
            f" one), or --gpu-server={DRIVER} for the CUDA driver itself."
        )
    return config.stash[TRIAL]


def family_of(config: pytest.Config) -> Family:
    """Whether --gpu-server names a server or the driver itself."""
    return "driver" if _option(config, "gpu_server") == DRIVER else "server"


def rests_on(item: pytest.Item, basis: Basis) -> None:
    """The result of ``item`` will hold what the basis holds when it ends."""
    item.stash[BASIS] = basis


def _option(config: pytest.Config, name: str) -> str:
    return str(config.getoption(name) or config.getini(name) or "")


def _open_trial(config: pytest.Config, directory: Path, rules: Sequence[Rule], version: str | None = None) -> Trial:
    """Find what --gpu-server names and its version, and read what is known of it.

    ``version``: what the session's controller has found; None in the controller itself.

    :raises UserError: any of them is missing or malformed.
    """
    source, chosen = _option(config, "gpu_server"), _option(config, "gpu_inventory")
    find_inventory = calls.inventory_finder(config)
    subject: Subject
    if family_of(config) == "driver":
        subject = open_driver(chosen, directory, first=version is None, find_inventory=find_inventory)
    else:
        subject = open_server(
            source,
            chosen,
            directory,
            version,
            find_profile=calls.profile_finder(config),
            find_inventory=find_inventory,
            witness=functools.partial(calls.witness, config),
        )
    return Trial.open(
        subject,
        rules,
        expect=_option(config, "gpu_expect"),
        strict=bool(config.getoption("gpu_strict")),
        certify=bool(config.getoption("gpu_certify")),
    )


class SuitePlugin:
    """Hooks around a :class:`Trial`. The controller owns the session's directory; workers are told where it is."""

    def __init__(self, config: pytest.Config, trial: Trial, directory: Path, is_worker: bool) -> None:
        self.config = config
        self.trial = trial
        self.directory = directory
        self.is_worker = is_worker
        self.started = time.monotonic()
        self.lost = LostRules(config, trial)
        if not is_worker:
            config.pluginmanager.register(self.lost)
        self.unwritten: list[str] = []
        self.failed_to_write = False

    @classmethod
    def open(cls, config: pytest.Config) -> SuitePlugin:
        """:raises UserError: a profile, rule, report path or expectations file that does not exist or is malformed."""
        rules = catalogue(family_of(config))
        check_globs(config.getoption("gpu_rule"), rules)
        files.check_paths(config.getoption("gpu_report"))
        worker: dict[str, Any] | None = getattr(config, "workerinput", None)
        try:
            trial, directory = cls._open(config, rules, worker)
        except HARNESS_ERRORS as error:
            raise UserError(in_words(error)) from error
        config.stash[TRIAL] = trial
        return cls(config, trial, directory, worker is not None)

    @staticmethod
    def _open(config: pytest.Config, rules: Sequence[Rule], worker: dict[str, Any] | None) -> tuple[Trial, Path]:
        if worker is not None:
            directory = Path(worker["gpu_directory"])
            return _open_trial(config, directory, rules, worker["gpu_version"]), directory
        session = SessionDirectory()
        config.add_cleanup(session.close)
        return _open_trial(config, session.path, rules), session.path

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput |= {"gpu_directory": str(self.directory), "gpu_version": self.trial.subject.version}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if self.is_worker or self.config.option.collectonly:
            return
        self._say(f"{self.trial.subject.first_step} ...")
        try:
            with self._heartbeat():
                outcome = self.trial.subject.control()
        except NotDescribed as error:
            self._say(f"ERROR: {error}")
            pytest.exit("nothing can be judged", returncode=WRONG_PROFILE)
        except HARNESS_ERRORS as error:
            raise pytest.UsageError(in_words(error)) from error
        first, *seen = outcome.splitlines()
        for line in [*([f"{first}, and this was seen:"] if seen else []), *seen]:
            self._say(line)
        self._say("now the rules" if seen else f"{first}; now the rules")

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
        kept, dropped = _select(items, config.getoption("gpu_rule"))
        if dropped:
            config.hook.pytest_deselected(items=dropped)
        _mark_known(kept, self.trial)
        items[:] = _order(kept)
        self.lost.will_be_asked(item.nodeid for item in kept)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        rule = _rule_of_item(pyfuncitem)
        return (yield) if rule is None else (yield from _judge(pyfuncitem, rule))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        _send(item, call, report)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data: object = getattr(report, RESULT_ATTRIBUTE, None)
        if data is not None and not self.is_worker:
            result = from_plain(RuleResult, data)
            self.trial.results[result.rule.id] = result

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


def _rule_of_item(item: pytest.Item) -> Rule | None:
    return rule_of(getattr(item, "function", None))


def _select(items: list[pytest.Item], globs: Sequence[str]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Items to run and to deselect: rules that no glob matches go."""
    if not globs:
        return items, []
    keep = [item for item in items if (rule := _rule_of_item(item)) is None or matches(rule.id, globs)]
    return keep, [item for item in items if item not in keep]


def _order(items: list[pytest.Item]) -> list[pytest.Item]:
    """Slow rules first and apart: pytest-xdist hands out neighbours to one worker."""
    slow = [item for item in items if (rule := _rule_of_item(item)) is not None and rule.id.startswith(SLOW_FAMILY)]
    rest = [item for item in items if item not in slow]
    spread: list[pytest.Item] = []
    for item in slow:
        spread.append(item)
        if rest:
            spread.append(rest.pop(0))
    return spread + rest


def _mark_known(items: Iterable[pytest.Item], trial: Trial) -> None:
    """Known violations are strict xfails."""
    for item in items:
        rule = _rule_of_item(item)
        if rule is not None and rule.id in trial.expected:
            reason = f"known: {trial.expected[rule.id].seen}"
            item.add_marker(pytest.mark.xfail(raises=Violation, strict=True, reason=reason))


def _judge(item: pytest.Function, rule: Rule) -> Generator[None, object, object]:
    """Run one rule and keep its result on the item; a broken SHOULD fails the run under --gpu-strict only."""
    trial = trial_of(item.config)
    returned = None
    try:
        returned = yield
    except Exception as outcome:
        result = _keep(item, rule, outcome)
        if result.verdict is Verdict.UNSUPPORTED:
            _skip_or_fail(trial, f"is declared unsupported: {result.headline}")
        if result.verdict in LEFT_OUT:
            _skip_or_fail(trial, f"{LEFT_OUT_WORDS[result.verdict]}: {result.headline}")
        if result.verdict is Verdict.WARN and not result.known:
            return None
        raise
    _keep(item, rule, None)
    declared = trial.declared(rule.id)
    if declared is not None:
        pytest.fail(
            f"{rule.id} is declared unsupported ({declared}), and it holds. Remove its entry from"
            f" {trial.subject.source}.",
            pytrace=False,
        )
    return returned


def _skip_or_fail(trial: Trial, reason: str) -> None:
    if trial.certify:
        pytest.fail(f"--gpu-certify allows no rule to be left out; this one {reason}", pytrace=False)
    pytest.skip(reason)


def _keep(item: pytest.Item, rule: Rule, outcome: BaseException | None) -> RuleResult:
    result = trial_of(item.config).result(rule, outcome, item.stash.get(BASIS, Basis()))
    item.stash[RESULT] = result
    verdict = result.verdict.value
    item.user_properties += [("gpu_rule", rule.id), ("gpu_level", rule.level.value), ("gpu_verdict", verdict)]
    return result


def _send(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Put the item's result on its report, and show a violation as its own words instead of a traceback."""
    rule = _rule_of_item(item)
    if rule is None or TRIAL not in item.config.stash:
        return
    if call.when == "setup" and call.excinfo is not None and RESULT not in item.stash:
        result = _keep(item, rule, UserError(f"the harness failed: {call.excinfo.value}"))
        setattr(report, RESULT_ATTRIBUTE, to_plain(result))
    if call.when == "call" and RESULT in item.stash:
        setattr(report, RESULT_ATTRIBUTE, to_plain(item.stash[RESULT]))
        said = call.excinfo.value if call.excinfo is not None else None
        if report.failed and isinstance(said, (Violation, Unjudged, *HARNESS_ERRORS)):
            result = item.stash[RESULT]
            words = "\n".join([result.headline, *(f"  {fact}" for fact in result.facts)])
            report.longrepr = f"{rule.id} ({rule.level.value}): {rule.summary}\n\n{_unjudged(result)}{words}"


def _unjudged(result: RuleResult) -> str:
    return "Unjudged: " if result.verdict is Verdict.UNJUDGED else ""
