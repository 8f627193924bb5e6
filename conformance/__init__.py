"""The conformance suite: one module per family of rules.

Run it with ``gpu-visibility check SERVER`` or ``pytest --pyargs pytest_gpuvisibility.conformance --gpu-server=SERVER``.
"""

from __future__ import annotations

import importlib

from pytest_gpuvisibility.verdicts import Rule, rule_of

RULE_MODULES = ("visibility", "identity", "assignment", "oversubscription", "lifecycle", "containers")


def catalogue() -> list[Rule]:
    """All rules, in the order of their families."""
    modules = [importlib.import_module(f"{__name__}.{name}") for name in RULE_MODULES]
    return [rule for module in modules for value in vars(module).values() if (rule := rule_of(value)) is not None]
