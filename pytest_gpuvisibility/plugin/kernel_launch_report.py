"""What a test session says of kernel launches: a failed test of those refused, the summary of those skipped."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..simulator.kernel_launches import Launches
    from ..simulator.machine import Machine

OPTION = "--gpu-launch=noop"
TOLD = pytest.StashKey["dict[str, Launches]"]()
"""By machine: the launches that were there when it was last asked."""
ACCOUNTS = pytest.StashKey["Launches"]()
"""Launches on the machines of tests that have ended, of this process and of pytest-xdist's workers that have."""
WORKER_OUTPUT = "gpu_visibility_launches"


def account(config: pytest.Config, machine: Machine) -> None:
    """Keep what was launched on a machine that is about to be removed."""
    from ..simulator.kernel_launches import Launches

    _add(config, Launches.on(machine))


def _add(config: pytest.Config, launches: Launches) -> None:
    before = config.stash.get(ACCOUNTS, None)
    config.stash[ACCOUNTS] = launches if before is None else before.with_(launches)


def tell_of_refused(item: pytest.Item, report: pytest.TestReport) -> None:
    """Let a failed test's report say how many launches were refused on its machine while it ran."""
    machine = _machine_of(item)
    if machine is None:
        return
    from ..simulator.kernel_launches import Launches

    told = item.config.stash.setdefault(TOLD, {})
    now = Launches.on(machine)
    news = now.since(told.get(str(machine.directory), Launches()))
    told[str(machine.directory)] = now
    if report.failed and news.refused:
        report.sections.append(("gpu-visibility", "\n".join(Launches(refused=news.refused).sentences(OPTION))))


def _machine_of(item: pytest.Item) -> Machine | None:
    from .fixtures import SELECTION

    place = getattr(item, "funcargs", {}).get("_gpu_place")
    if place is not None and place.machine is not None:
        machine: Machine = place.machine.simulated
        return machine
    return item.config.stash[SELECTION].machine if SELECTION in item.config.stash else None


def hand_over(config: pytest.Config) -> None:
    """In a pytest-xdist worker: let the controller know of this worker's machines."""
    output: MutableMapping[str, Any] | None = getattr(config, "workeroutput", None)
    if output is not None and ACCOUNTS in config.stash:
        launches = config.stash[ACCOUNTS]
        output[WORKER_OUTPUT] = tuple(launches)


def take_over(config: pytest.Config, output: Mapping[str, Any]) -> None:
    """In the controller: add a worker's."""
    from ..simulator.kernel_launches import Launches

    _add(config, Launches(*output.get(WORKER_OUTPUT, ())))


def summarise(reporter: pytest.TerminalReporter) -> None:
    """One line where launches were skipped."""
    from ..simulator.kernel_launches import Launches
    from .fixtures import SELECTION

    config = reporter.config
    if SELECTION in config.stash and (machine := config.stash[SELECTION].machine) is not None:
        account(config, machine)
    launches = config.stash.get(ACCOUNTS, Launches())
    for sentence in Launches(skipped=launches.skipped).sentences(OPTION):
        reporter.write_line(f"gpu-visibility: {sentence}", yellow=True)
