"""Many processes on one machine while some are killed: a short run of benchmarks/stress.py."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from typing import Any

import pytest
from places import ROOT

STRESS = ROOT / "benchmarks" / "stress.py"

needs_a_compiler = pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
needs_headers = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("cmake", "nvidia")),
    reason="cmake or NVIDIA's headers are not installed",
)


def stress(*options: str) -> dict[str, Any]:
    command = [sys.executable, str(STRESS), *options]
    run = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=300)
    assert run.stderr == ""
    facts: dict[str, Any] = json.loads(run.stdout)
    assert facts["wrong"] == []
    assert run.returncode == 0
    return facts


@needs_a_compiler
@pytest.mark.timeout(300)
def test_everything_adds_up_whoever_is_killed() -> None:
    facts = stress("--processes=64", "--kills=100", "--seconds=8")
    assert facts["killed"] > 0
    assert facts["calls"] > 0


@needs_a_compiler
@needs_headers
@pytest.mark.timeout(300)
@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_sanitizers_have_nothing_to_report(sanitizer: str) -> None:
    facts = stress("--processes=8", "--threads=3", "--kills=20", "--seconds=5", f"--sanitizer={sanitizer}")
    assert facts["killed"] > 0
