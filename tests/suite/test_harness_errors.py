"""What goes wrong in the harness or below it is an error with a reason, and no verdict on the server; whatever a server
does, nothing of it is left.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

import pytest
from places import PROGRAMS
from twin_runs import check, profile_of

from pytest_gpuvisibility.host import Ports, SupervisorError, supervisor_client
from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.profile import files as profiles
from pytest_gpuvisibility.profile import version_of
from pytest_gpuvisibility.server import LaunchRequest, ServerProcess, wait_until_ready
from pytest_gpuvisibility.simulator import Machine

MISBEHAVING = PROGRAMS / "misbehaving.py"
PLUGINS = str(PROGRAMS / "plugins")


def misbehaving(what: str, directory: Path) -> Path:
    """The profile of a correct server that does something beside."""
    wrapped = f'\ncommand = ["{{python}}", "-I", "{MISBEHAVING}", "{what}", "--", "{{python}}"'
    mark = f'\n[server.env]\nTWIN_MARK = "{uuid.uuid4().hex}"\n[server.values]'
    return profile_of("none", directory, **{'\ncommand = ["{python}"': wrapped, "\n[server.values]": mark})


def verdict_of(profile: Path, rule: str, *options: str) -> dict[str, Any]:
    """The rule's entry in the report, after a look that nothing is left."""
    report = profile.with_suffix(".json")
    run = check(profile, f"--gpu-rule={rule}", f"--gpu-report={report}", "-n0", *options)
    assert report.exists(), run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    assert_nothing_left(profile)
    [found] = json.loads(report.read_text())["rules"]
    return dict(found)


def assert_nothing_left(profile: Path) -> None:
    """No process has the profile's mark, none runs what :func:`misbehaving.escape` leaves, no directory stays."""
    mark = profile.read_text().partition('TWIN_MARK = "')[2].partition('"')[0]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and mark:
            try:
                words = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:
                continue
            assert f"TWIN_MARK={mark}".encode() not in words
    assert list(profile.parent.glob("gpu-visibility-*")) == []


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for temporary files of this test's own."""
    path = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(path))
    return path


# What the server does.


def test_a_process_that_ignores_sigterm_is_the_servers_doing(tmp_path: Path) -> None:
    found = verdict_of(misbehaving("ignore-sigterm", tmp_path), "LIF-002")
    assert found["verdict"] == "fail"
    assert found["headline"] == "leaves processes behind"
    assert len(found["scenarios"][0]["survivors"]) == 1


def test_five_hundred_processes_are_seen_and_ended(tmp_path: Path) -> None:
    found = verdict_of(misbehaving("processes=500", tmp_path), "VIS-002")
    assert found["verdict"] == "pass"
    assert len(found["scenarios"][0]["processes"]) > 500
    assert len(found["scenarios"][0]["events"]) <= 200


def test_a_process_that_flees_session_parent_and_environment_is_caught(tmp_path: Path) -> None:
    found = verdict_of(misbehaving("escape", tmp_path), "LIF-002")
    assert found["verdict"] == "fail"
    [survivor] = found["scenarios"][0]["survivors"]
    pid = int(survivor.split(":")[0].split()[-1])
    assert not Path(f"/proc/{pid}").exists()


def test_endless_output_takes_bounded_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 MiB of output under a limit of 2 MiB: what is on the disk at the end, and that the end can be read."""
    monkeypatch.setattr(supervisor_client, "OUTPUT_LIMIT", 2 << 20)
    profile = profiles.load(misbehaving("spew=100", tmp_path))
    with (
        Machine.create(Inventory.load("a100x2"), tmp_path / "machine") as machine,
        ServerProcess(profile, directory=tmp_path / "server") as server,
    ):
        server.start(LaunchRequest(groups=1, devices=1, environ=machine.environ(os.environ)))
        assert wait_until_ready(server).kind == "ready"
        for _ in range(200):
            if "the last line of all" in server.stdout and _room_of(tmp_path / "server") < 3 << 20:
                break
            server._pump(0.1)
        assert "the last line of all" in server.stdout
        assert _room_of(tmp_path / "server") < 3 << 20
        assert len(server.stdout) < 1 << 20


def _room_of(directory: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in directory.rglob("*"))


# What the machine does.


def test_a_port_that_somebody_else_took_is_no_fault_of_the_server(tmp_path: Path) -> None:
    profile = profiles.load(profile_of("none", tmp_path))
    ports = Ports.reserve(profile.port_count(1, 1))
    with (
        Machine.create(Inventory.load("a100x2"), tmp_path / "machine") as machine,
        socket.create_server(("127.0.0.1", ports.first + 1)),
        ServerProcess(profile, directory=tmp_path / "server") as server,
    ):
        server.start(LaunchRequest(groups=1, devices=1, environ=machine.environ(os.environ), ports=ports))
        with pytest.raises(SupervisorError, match=f"port {ports.first + 1}, which the server was given, was taken"):
            wait_until_ready(server)
    ports.release()


def test_a_port_that_was_taken_is_an_error_in_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", PLUGINS)
    found = verdict_of(profile_of("none", tmp_path), "VIS-002", "-p", "port_thief")
    assert found["verdict"] == "error"
    assert "which the server was given, was taken by another program" in found["headline"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("ENOSPC", "No space left on device (/tmp/x). Free space there, or set TMPDIR"),
        ("EACCES", "Permission denied (/tmp/x). Set TMPDIR"),
        ("EMFILE", "Too many open files (/tmp/x). Raise the limit (ulimit -n)"),
    ],
)
def test_a_fault_of_the_machine_is_an_error_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", PLUGINS)
    monkeypatch.setenv("FAULT", fault)
    monkeypatch.setenv("FAULT_FROM_LAUNCH", "2")
    found = verdict_of(profile_of("none", tmp_path), "VIS-002", "-p", "faulty_machine")
    assert found["verdict"] == "error"
    assert found["headline"].startswith("The harness failed, so nothing is known of the server: ")
    assert said in found["headline"]
    monkeypatch.setenv("FAULT_FROM_LAUNCH", "1")
    run = check(profile_of("none", tmp_path), "-n0", "-p", "faulty_machine")
    assert run.returncode == 4
    assert said in run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_files_may_not_grow(tmp_path: Path) -> None:
    """Not even a simulated machine fits."""
    command = f"ulimit -f 16; exec {sys.executable} -m pytest_gpuvisibility check {profile_of('none', tmp_path)} -n0"
    run = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 4, run.stdout
    assert "cannot be made a simulated machine" in run.stderr
    assert "free some space or choose another directory (TMPDIR)" in run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_no_place_for_temporary_files(tmp_path: Path, temporary: Path) -> None:
    (temporary / f"gpu-visibility-{os.getuid()}").write_text("somebody else's")
    run = check(profile_of("none", tmp_path), "-n0")
    assert run.returncode == 4
    assert f"gpu-visibility-{os.getuid()}" in run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_no_port_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken_ports.py").write_text(
        "from pytest_gpuvisibility.host import ports\nports._is_free = lambda port: False\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = check(profile_of("none", tmp_path), "-n0", "-p", "taken_ports")
    assert run.returncode == 4
    assert "consecutive ports are free" in run.stderr
    assert "Stop what holds the ports" in run.stderr


def test_a_server_that_may_not_be_run(tmp_path: Path) -> None:
    broken = tmp_path / "broken-server"
    broken.write_bytes(b"\x7fELF this is no program")
    broken.chmod(0o755)
    profile = profile_of("none", tmp_path, **{'\ncommand = ["{python}"': f'\ncommand = ["{broken}"'})
    run = check(profile, "-n0")
    assert run.returncode == 4
    assert f"{broken} could not be started: OSError: [Errno 8] Exec format error" in run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_a_slow_first_start_shows_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "impatient.py").write_text(
        "from pytest_gpuvisibility.plugin import suite_hooks\nsuite_hooks.HEARTBEAT = 0.05\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = check(profile_of("none", tmp_path), "-n0", "--gpu-rule=VIS-002", "-p", "impatient")
    assert run.returncode == 0
    assert "gpu-visibility: ... not ready after 0 s" in run.stdout


def test_what_the_version_command_leaves_behind_is_killed(tmp_path: Path) -> None:
    program = str(shutil.copy(MISBEHAVING, tmp_path))
    version = f'["{{python}}", "-I", "{program}", "processes=3", "--", "{{python}}", "-I", "'
    profile = profile_of("none", tmp_path, **{'version_command = ["{python}", "-I", "': f"version_command = {version}"})
    assert version_of(profiles.load(profile)) == "1.0"
    left = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and program in _argv(entry)]
    assert left == []


def _argv(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_text(errors="replace") if (entry / "exe").exists() else ""
    except OSError:
        return ""


def test_the_record_of_runs_is_clean(tmp_path: Path, temporary: Path) -> None:
    """A run leaves nothing in the directory for temporary files but the empty record."""
    run = check(profile_of("none", tmp_path), "-n0", "--gpu-rule=VIS-002")
    assert run.returncode == 0, run.stdout
    [record] = temporary.iterdir()
    assert record.name == f"gpu-visibility-{os.getuid()}"
    assert list(record.iterdir()) == []


def test_an_argument_that_is_no_text_ends_no_run(tmp_path: Path) -> None:
    """A survivor's arguments are among the facts, which pytest-xdist carries as UTF-8."""
    server = tmp_path / "server.sh"
    server.write_bytes(b"#!/bin/sh\nsh -c 'sleep 600; true' \xff &\nexec \"$@\"\n")
    server.chmod(0o755)
    profile = profile_of("lif-002", tmp_path, **{'\ncommand = ["{python}"': f'\ncommand = ["{server}", "{{python}}"'})
    run = check(profile, "-n2", "--gpu-rule=LIF-002", "--gpu-rule=LIF-004")
    assert run.returncode == 1, run.stdout + run.stderr
    assert "INTERNALERROR" not in run.stdout + run.stderr
    assert "LIF-002  leaves its workers behind" in run.stdout or "LIF-002  leaves processes behind" in run.stdout
