"""Coverage of a test in another process, for whoever measures that of this one with coverage.py."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Coverage: TypeAlias = Any
"""coverage.Coverage; the package is not ours to require."""

OPTIONS = (
    "branch", "concurrency", "context", "core", "cover_pylib", "disable_warnings", "dynamic_context", "include", "omit",
    "plugins", "relative_files", "source", "source_dirs", "source_pkgs", "timid",
)  # fmt: skip
"""Of coverage.py's section ``run``: what is measured, and how."""


@dataclass(frozen=True)
class Measured:
    """How the other process measures."""

    options: Mapping[str, Any]
    file: str | None

    def start(self) -> Coverage:
        """In the other process."""
        coverage = importlib.import_module("coverage").Coverage(data_file=None, config_file=self.file or False)
        for name, value in self.options.items():
            coverage.set_option(f"run:{name}", value)
        coverage.start()
        return coverage

    def stop(self, coverage: Coverage) -> bytes:
        """In the other process: what :meth:`add` takes."""
        coverage.stop()
        data: bytes = coverage.get_data().dumps()
        return data


def measured() -> Measured | None:
    """None where nobody measures this process."""
    coverage = _current()
    if coverage is None:
        return None
    options = {name: _option(coverage, name) for name in OPTIONS}
    return Measured({name: value for name, value in options.items() if value is not None}, _file_of(coverage))


def unmeasured(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what lets coverage.py and pytest-cov measure every Python process from its start."""
    return {name: value for name, value in environ.items() if not name.startswith(("COV_CORE_", "COVERAGE_PROCESS_"))}


def add(data: bytes) -> None:
    """Add what was measured there to what is measured here."""
    coverage = _current()
    if coverage is not None:
        theirs = type(coverage.get_data())(no_disk=True)
        theirs.loads(data)
        coverage.get_data().update(theirs)


def _current() -> Coverage:
    library = sys.modules.get("coverage")
    return library.Coverage.current() if library is not None else None


def _option(coverage: Coverage, name: str) -> Any:
    try:
        return coverage.get_option(f"run:{name}")
    except Exception:  # its own; this version has no such option
        return None


def _file_of(coverage: Coverage) -> str | None:
    return getattr(coverage.config, "config_file", None)
