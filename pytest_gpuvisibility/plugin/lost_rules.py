"""Rules that were asked and of which nobody has heard again: their process was killed, or the run stopped before them.

They are unjudged, in every report alike; whoever counts what pytest says must not find fewer rules than were asked.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from ..conformance import functions
from ..suite import Family, Rule, RuleResult, Trial, rule_of

LOST = "the process that judged it ended before it had said anything"
NO_PHASE = "???"
"""When a test failed whose process was killed, in the report that pytest-xdist makes of it."""


class LostRules:
    """Of the process that collects the results: the controller, where there are pytest-xdist workers."""

    def __init__(self, config: pytest.Config, trial: Trial) -> None:
        self.config = config
        self.trial = trial
        self.asked: dict[str, Rule] = {}
        self.killed: dict[str, pytest.TestReport] = {}

    def will_be_asked(self, ids: Iterable[str]) -> None:
        rules = _rules_by_test(self.trial.subject.family)
        self.asked |= {id: rule for id in ids if (rule := rules.get(_test_of(id))) is not None}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: Sequence[str]) -> None:
        """Of all workers the same; the controller itself collects nothing."""
        self.will_be_asked(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if str(report.when) == NO_PHASE:
            self.killed[report.nodeid] = report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.config.option.collectonly:
            return
        stopped = str(session.shouldfail or session.shouldstop or "")
        why = f"the run was stopped before it was judged: {stopped}" if stopped else LOST
        lost = {id: rule for id, rule in self.asked.items() if rule.id not in self.trial.results}
        self.trial.lose(lost.values(), why)
        for id, rule in lost.items():
            self._report(id, self.trial.results[rule.id])
        if lost and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _report(self, id: str, result: RuleResult) -> None:
        """As pytest would have reported it; of one that was killed, pytest-xdist has said that it failed."""
        rule = result.rule
        words = f"{rule.id} ({rule.level.value}): {rule.summary}\n\nUnjudged: {result.headline}"
        about = [("gpu_rule", rule.id), ("gpu_level", rule.level.value), ("gpu_verdict", result.verdict.value)]
        killed = self.killed.get(id)
        path = id.partition("::")[0]
        for when in ("teardown",) if killed is not None else ("call", "teardown"):
            failed = when == "call"
            report = pytest.TestReport(
                nodeid=id,
                location=(path, None, id.rpartition("::")[2]),
                keywords={},
                outcome="failed" if failed else "passed",
                longrepr=words if failed else None,
                when=when,  # type: ignore[arg-type]
                user_properties=about,
            )
            if killed is not None:  # JUnit's file has one entry for a test of one worker
                vars(report)["node"] = getattr(killed, "node", None)
            self.config.hook.pytest_runtest_logreport(report=report)


@functools.cache
def _rules_by_test(family: Family) -> dict[tuple[str, str], Rule]:
    """By module and function, which a test's id ends with."""
    return {
        (function.__module__.rpartition(".")[2], function.__name__): rule
        for function in functions(family)
        if (rule := rule_of(function)) is not None
    }


def _test_of(nodeid: str) -> tuple[str, str]:
    module, _, function = nodeid.rpartition("::")
    return Path(module).stem, function
