"""docs/new-server.md, followed to the letter by somebody who has its server, Node.js and nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_gpuvisibility.profile import files as profiles

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "new-server.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.S | re.M)


def command(line: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run ``$ gpu-visibility ...`` as the page has it."""
    words = line.removeprefix("$ ").split()
    assert words[0] == "gpu-visibility"
    run = [sys.executable, "-m", "pytest_gpuvisibility", *words[1:]]
    return subprocess.run(run, cwd=directory, capture_output=True, text=True, check=False, timeout=300)


def timeless(text: str) -> list[str]:
    """Its lines without what differs from run to run."""
    return [re.sub(r"\d+(\.\d)? s\b", "T s", line) for line in text.splitlines() if line.strip()]


@pytest.mark.skipif(shutil.which("node") is None, reason="the page's server is for Node.js, which is not here")
@pytest.mark.timeout(300)
def test_a_newcomer_gets_to_a_verdict(tmp_path: Path) -> None:
    new, start, judge, _ = blocks("console")
    profile, _, _ = blocks("toml")
    [server] = blocks("js")
    (tmp_path / "server.js").write_text(server)

    line, *promised = new.splitlines()
    assert command(line, tmp_path).stdout.splitlines() == promised
    path = tmp_path / "hello-gpu.toml"
    assert set(tomllib.loads(profile)) <= set(tomllib.loads(path.read_text()))
    path.write_text(profile)

    started = command(start.splitlines()[0], tmp_path)
    assert started.returncode == 0, started.stdout + started.stderr

    line, *promised = judge.splitlines()
    judged = command(line, tmp_path)
    assert judged.returncode == 1
    wanted = timeless("\n".join(promised))
    assert [text for text in timeless(judged.stdout) if text in wanted] == wanted


@pytest.mark.skipif(shutil.which("node") is None, reason="the page's server is for Node.js, which is not here")
@pytest.mark.timeout(300)
def test_what_is_known_of_the_server_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "server.js").write_text(blocks("js")[0])
    (tmp_path / "hello-gpu.toml").write_text(blocks("toml")[0])
    (tmp_path / "known.toml").write_text(blocks("toml")[1])
    run = command(f"{blocks('console')[3].strip()} --gpu-rule=VIS-006 --gpu-report=r.json", tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    [rule] = json.loads((tmp_path / "r.json").read_text())["rules"]
    assert (rule["verdict"], rule["known"]) == ("fail", True)


@pytest.mark.parametrize("line", blocks("toml")[2].splitlines())
def test_every_sign_of_readiness_on_the_page_is_one(tmp_path: Path, line: str) -> None:
    path = tmp_path / "hello-gpu.toml"
    path.write_text(blocks("toml")[0].replace("[server]\n", f"[server]\n{line}\n"))
    assert profiles.load(path).server.ready.kind == tomllib.loads(line)["ready"]["kind"]


def test_every_way_to_tell_workers_on_the_page_is_one(tmp_path: Path) -> None:
    ways = re.findall(r"`(\{ (?:argv|environ|port|touched) = [^`]*\})`", PAGE)
    assert len(ways) == 4
    for way in ways:
        path = tmp_path / "hello-gpu.toml"
        path.write_text(re.sub(r"^worker = .*$", lambda _, way=way: f"worker = {way}", blocks("toml")[0], flags=re.M))
        assert profiles.load(path).workers.worker


def test_the_pages_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((\.\./[^)]+)\)", PAGE)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
