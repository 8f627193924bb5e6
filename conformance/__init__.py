"""The conformance suite: one module per family of rules.

Run it with ``gpu-visibility check SERVER`` or ``pytest --pyargs pytest_gpuvisibility.conformance --gpu-server=SERVER``.
SERVER ``driver`` is the CUDA driver itself, which has a family of its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

from pytest_gpuvisibility.suite import Family, Rule, rule_of

RULE_MODULES: Mapping[Family, tuple[str, ...]] = {
    "server": (
        "visibility",
        "identity",
        "assignment",
        "oversubscription",
        "lifecycle",
        "containers",
        "telemetry",
    ),
    "driver": ("driver",),
}


def functions(family: Family | None = None) -> list[Callable[..., object]]:
    """The functions of rules, of one family or of all; in the order of their modules. ``arguments.judge`` asks one."""
    chosen = RULE_MODULES if family is None else {family: RULE_MODULES[family]}
    modules = [importlib.import_module(f"{__name__}.{name}") for names in chosen.values() for name in names]
    return [value for module in modules for value in vars(module).values() if rule_of(value) is not None]


def catalogue(family: Family | None = None) -> list[Rule]:
    """The rules for servers, or those for the driver, or all; in the order of their modules."""
    return [rule for function in functions(family) if (rule := rule_of(function)) is not None]
