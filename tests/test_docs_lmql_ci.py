"""docs/lmql-ci.md: its tox.ini runs as it stands, and its workflow names what is there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "lmql-ci.md").read_text()
HERE = f"py3{sys.version_info.minor}"
"""The tox factor of this Python."""


def block(language: str) -> str:
    [text] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
    return str(text)


def tox(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # tox counts any CI as a terminal with colours; the outer tox's own settings are not for this one.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("TOX", "PYTEST", "COV"))}
    environ |= {"GPU_VISIBILITY_REQUIREMENT": str(ROOT), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "tox", *arguments]
    return subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tox.ini").write_text(block("ini"))
    return tmp_path


def test_the_workflow_runs_environments_that_exist(project: Path) -> None:
    workflow = block("yaml")
    listed = tox(project, "list", "--no-desc", "-q")
    assert listed.returncode == 0, listed.stderr
    pythons = re.findall(r'"3\.(\d+)"', workflow)
    inventories = re.findall(r"inventory: \[(.*)\]", workflow)[0].split(", ")
    assert 'tox run -e "py${PYTHON/./}-lmql073-${INVENTORY}"' in workflow
    assert {f"py3{minor}-lmql073-{name}" for minor in pythons for name in inventories} == set(listed.stdout.split())


def test_the_workflow_has_few_rights_and_pins_what_it_uses() -> None:
    workflow = block("yaml")
    assert "\npermissions: {}\n" in workflow
    assert re.findall(r"^ +(\S+): (?:read|write)$", workflow, re.M) == ["contents"]
    used = re.findall(r"uses: (.*)", workflow)
    assert len(used) == 3
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in used)
    assert re.search(r"install tox==[\d.]+\n", workflow)
    assert not re.search(r"run: .*\$\{\{", workflow)


@pytest.mark.skipif(sys.version_info > (3, 14), reason="LMQL 0.7.3 does not run on it, and the page does not say so")
def test_the_tox_ini_runs_as_it_stands(project: Path) -> None:
    name = f"{HERE}-lmql073-a100x8"
    run = tox(project, "run", "-e", name, "--", "--gpu-rule=VIS-003")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "lmql 0.7.3 on simulated a100x8: 1 rule" in run.stdout
    report = json.loads((project / f"gpu-{name}.json").read_text())
    assert [rule["id"] for rule in report["rules"]] == ["VIS-003"]
