"""What a test session says of kernel launches: a failed test of those refused, the summary of those skipped."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import pytest

from .session import PLACE, SESSION

if TYPE_CHECKING:
    from ..simulator import KernelLaunches, Machine

OPTION = "--gpu-launch=noop"
TOLD = pytest.StashKey["dict[str, KernelLaunches]"]()
"""By machine: the launches that were there when it was last asked."""
ACCOUNTS = pytest.StashKey["KernelLaunches"]()
"""Kernel launches on the machines of tests that have ended, of this process and of pytest-xdist's workers that have."""
WORKER_OUTPUT = "gpu_visibility_launches"


def account(config: pytest.Config, machine: Machine) -> None:
    """Keep what was launched on a machine that is about to be removed."""
    from ..simulator import KernelLaunches

    _add(config, KernelLaunches.on(machine))


def _add(config: pytest.Config, launches: KernelLaunches) -> None:
    before = config.stash.get(ACCOUNTS, None)
    config.stash[ACCOUNTS] = launches if before is None else before.and_also(launches)


def tell_of_refused(item: pytest.Item, report: pytest.TestReport) -> None:
    """Let a failed test's report say how many launches were refused on its machine while it ran."""
    machine = _machine_of(item)
    if machine is None:
        return
    from ..simulator import KernelLaunches

    told = item.config.stash.setdefault(TOLD, {})
    now = KernelLaunches.on(machine)
    news = now.since(told.get(str(machine.directory), KernelLaunches()))
    told[str(machine.directory)] = now
    if report.failed and news.refused:
        report.sections.append(("gpu-visibility", "\n".join(news._replace(skipped=0).sentences(OPTION))))


def _machine_of(item: pytest.Item) -> Machine | None:
    place = getattr(item, "funcargs", {}).get(PLACE)
    if place is not None and place.machine is not None:
        machine: Machine = place.machine.simulated
        return machine
    return item.config.stash[SESSION].machine if SESSION in item.config.stash else None


def _account_for_session(config: pytest.Config) -> None:
    """Add what was launched on the session's machine, where it is not another process's to do so."""
    session = config.stash.get(SESSION, None)
    if session is not None and session.machine is not None and session.owns_machine:
        account(config, session.machine)


def hand_over(config: pytest.Config) -> None:
    """In a pytest-xdist worker: let the controller know of this worker's machines."""
    output: MutableMapping[str, Any] | None = getattr(config, "workeroutput", None)
    if output is None:
        return
    _account_for_session(config)
    if ACCOUNTS in config.stash:
        launches = config.stash[ACCOUNTS]
        output[WORKER_OUTPUT] = tuple(launches)


def take_over(config: pytest.Config, output: Mapping[str, Any]) -> None:
    """In the controller: add a worker's."""
    if WORKER_OUTPUT in output:
        from ..simulator import KernelLaunches

        _add(config, KernelLaunches(*output[WORKER_OUTPUT]))


def summarise(reporter: pytest.TerminalReporter) -> None:
    """One line where launches were skipped."""
    config = reporter.config
    if hasattr(config, "workerinput"):
        return  # it has handed over what it had to say
    _account_for_session(config)
    launches = config.stash.get(ACCOUNTS, None)
    if launches is not None:
        for sentence in launches._replace(refused=0).sentences(OPTION):
            reporter.write_line(f"gpu-visibility: {sentence}", yellow=True)
