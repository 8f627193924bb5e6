"""What the functions of rules take: by the names of their parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.suite import (
    Basis,
    DoesNotApply,
    DriverSubject,
    Rule,
    RuleResult,
    ServerSubject,
    Trial,
    rule_of,
)

from .launch import Gpus, Launch, Shipped
from .mask_queries import MaskQueries

STAND_INS: Mapping[str, Callable[[Inventory], bool]] = {
    "mixed4": lambda machine: len(machine.devices) >= 4 and machine.fastest_first[0] != machine.in_pci_order[0],
    "exclusive4": lambda machine: all(device.compute_mode == "exclusive-process" for device in machine.devices),
}
"""Whether a real machine will do instead of the shipped inventory."""


class Arguments:
    """Those of one rule for one subject. ``basis`` grows while the rule runs."""

    def __init__(self, trial: Trial, rule: Rule) -> None:
        self.trial = trial
        self.rule = rule
        self.basis = Basis()

    @property
    def server(self) -> ServerSubject:
        """The server under test, and where its launches are kept.

        :raises TypeError: it is not a server that is on trial.
        """
        if not isinstance(self.trial.subject, ServerSubject):
            raise TypeError(f"{self.trial.name} is no server")
        return self.trial.subject

    @property
    def gpus(self) -> Gpus:
        """The devices of the inventory at hand."""
        return Gpus(self.server.machine(self.server.inventory), self.server.inventory)

    @property
    def shipped(self) -> Shipped:
        """A shipped inventory, for rules that need unequal or few devices."""
        server = self.server

        def choose(name: str) -> Gpus:
            if server.hardware is not None:
                if name in STAND_INS and STAND_INS[name](server.hardware):
                    return Gpus(server.hardware, server.inventory)
                raise DoesNotApply(f"needs a machine like the inventory {name}; this run is on the machine's own GPUs")
            if server.inventory_is_chosen and server.inventory != name:
                raise DoesNotApply(
                    f"needs the inventory {name}; this run is tied to {server.inventory} by --gpu-inventory"
                )
            return Gpus(Inventory.load(name), name)

        return choose

    @property
    def launch(self) -> Launch:
        """Launches the server under test in a scenario, once a session."""
        launch = Launch(self.server.launcher, self.server.inventory, needs=self.rule.needs)
        self.basis = Basis(launch.launched)
        return launch

    @property
    def mask_queries(self) -> MaskQueries:
        """Asks the driver under test what it shows under a mask.

        :raises TypeError: it is not a driver that is on trial.
        """
        if not isinstance(self.trial.subject, DriverSubject):
            raise TypeError(f"{self.trial.name} is no driver")
        queries = MaskQueries(self.trial.subject)
        self.basis = Basis(queries.asked, queries.facts)
        return queries


def judge(trial: Trial, function: Callable[..., object]) -> RuleResult:
    """Ask one rule, and say what became of it; no pytest is needed.

    :raises TypeError: ``function`` is not a rule.
    """
    rule = rule_of(function)
    if rule is None:
        raise TypeError(f"{function!r} is not a rule")
    arguments = Arguments(trial, rule)
    try:
        function(**{name: getattr(arguments, name) for name in inspect.signature(function).parameters})
    except Exception as outcome:
        return trial.result(rule, outcome, arguments.basis)
    return trial.result(rule, None, arguments.basis)
