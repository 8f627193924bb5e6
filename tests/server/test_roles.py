"""Whatever tells a server's workers from the rest, and whatever says that it is ready: a profile can say so."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from places import program

from pytest_gpuvisibility.profile import files as profiles
from pytest_gpuvisibility.server import LaunchRequest, ProcessFacts, ServerProcess, wait_until_ready
from pytest_gpuvisibility.server.roles import Roles

PROFILE = """
[product]
name = "toy"
version_command = ["{python}", "-V"]
[server]
command = ["{python}", "-I", "-S", "{here}/server.py"]
env = {PORT = "{port}", GROUPS = "{groups}"EXTRA}
ready_deadline = 20.0
READY
[workers]
WORKERS
"""
LOG = 'ready = {kind = "log", expect = "worker . listens", times = "groups"}'


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Launch the toy server as a profile describes it, and wait until it is ready."""
    shutil.copy(program("servers/workers.py"), tmp_path / "server.py")
    started = []

    def launch(workers: str, ready: str = LOG, groups: int = 3, extra: str = "") -> ServerProcess:
        text = PROFILE.replace("EXTRA", extra).replace("READY", ready).replace("WORKERS", workers)
        (tmp_path / "toy.toml").write_text(text.replace("{python}", sys.executable))
        profile = profiles.load(tmp_path / "toy.toml")
        server = ServerProcess(profile, directory=tmp_path / "servers", touching=touching)
        started.append(server)
        server.start(LaunchRequest(groups=groups, devices=1, environ=os.environ))
        assert wait_until_ready(server).kind == "ready", server.stderr
        return server

    yield launch
    for server in started:
        server.close()


def touching(seen: Sequence[ProcessFacts]) -> set[int]:
    """As if the workers and their helpers had opened a device, and nobody else."""
    return {facts.pid for facts in seen if facts.environ.get("ROLE") in ("worker", "helper")}


def named(server: ServerProcess) -> dict[int | None, str]:
    """The workers' groups, and what each worker itself was told its group is."""
    return {facts.group: facts.environ["GROUP"] for facts in server.seen.values() if facts.role == "worker"}


def test_workers_are_told_by_a_number_in_their_environment(toy: Callable[..., ServerProcess]) -> None:
    server = toy(r"worker = {environ = '^GROUP=(?P<group>\d+)$'}")
    assert named(server) == {0: "0", 1: "1", 2: "2"}
    helpers = [facts for facts in server.seen.values() if facts.environ.get("ROLE") == "helper"]
    assert sorted((facts.role, facts.group) for facts in helpers) == [("other", 0), ("other", 1), ("other", 2)]


def test_workers_are_told_by_a_port_in_their_environment(toy: Callable[..., ServerProcess]) -> None:
    assert named(toy(r"worker = {environ = '^PORT=(?P<port>\d+)$', argv = 'server.py'}")) == {0: "0", 1: "1", 2: "2"}


def test_workers_without_a_number_are_counted_as_they_start(toy: Callable[..., ServerProcess]) -> None:
    server = toy("worker = {environ = '^GROUP='}")
    assert named(server) == {0: "2", 1: "1", 2: "0"}


def test_workers_are_told_by_what_they_touched(toy: Callable[..., ServerProcess]) -> None:
    server = toy("worker = {touched = true}")
    assert named(server) == {0: "2", 1: "1", 2: "0"}
    assert server.seen[server.pid].role == "launcher"


def test_what_a_worker_starts_is_no_worker_in_whatever_order_they_are_asked(tmp_path: Path) -> None:
    text = PROFILE.replace("EXTRA", "").replace("READY", LOG).replace("WORKERS", "worker = {touched = true}")
    (tmp_path / "toy.toml").write_text(text)
    launcher, worker, helper = 1, 9, 16
    assert list({worker, helper}) == [helper, worker], "a set of pids has an order of its own"
    roles = Roles(profiles.load(tmp_path / "toy.toml"), launcher, 1, 0, lambda seen: {worker, helper})
    for pid, ppid in ((launcher, 0), (worker, launcher), (helper, worker)):
        role = "launcher" if pid == launcher else "other"
        roles.seen[pid] = ProcessFacts(pid, ppid, pid, ("toy",), {}, role, None, 0.0)
    roles.take([], {})
    assert [(facts.role, facts.group) for facts in roles.seen.values()] == [
        ("launcher", None),
        ("worker", 0),
        ("other", None),
    ]


@pytest.mark.timeout(30)
def test_a_parents_pid_that_a_child_has_by_now_is_no_circle(tmp_path: Path) -> None:
    """The parent has ended, and what its orphan starts is given its pid."""
    text = PROFILE.replace("EXTRA", "").replace("READY", LOG).replace("WORKERS", "worker = {touched = true}")
    (tmp_path / "toy.toml").write_text(text)
    orphan, reused = 9, 16
    roles = Roles(profiles.load(tmp_path / "toy.toml"), 1, 1, 0, lambda seen: {orphan, reused})
    for pid, ppid, start in ((orphan, reused, 100), (reused, orphan, 200)):
        roles.seen[pid] = ProcessFacts(pid, ppid, start, ("toy",), {}, "other", None, 0.0)
    roles.take([], {})
    assert [(facts.role, facts.group) for facts in roles.seen.values()] == [("worker", 0), ("other", None)]


def test_what_was_touched_and_a_number_make_a_worker(toy: Callable[..., ServerProcess]) -> None:
    assert named(toy(r"worker = {touched = true, environ = '^GROUP=(?P<group>\d)'}")) == {0: "0", 1: "1", 2: "2"}


@pytest.mark.parametrize("pattern", ["touched = true", r"touched = true, environ = '^GROUP=(?P<group>\d)'"])
def test_a_worker_that_is_replaced_leaves_its_place(toy: Callable[..., ServerProcess], pattern: str) -> None:
    server = toy(f"worker = {{{pattern}}}", extra=', RESTARTS = "1"')
    victim = next(facts for facts in server.seen.values() if facts.role == "worker" and facts.group == 1)
    server.kill(victim.pid, signal.SIGKILL)
    limit = time.monotonic() + 10.0
    while (worker := server.wait_for_worker(1)) is None or worker.pid == victim.pid:
        assert time.monotonic() < limit
    assert worker.alive
    assert worker.environ["GROUP"] == "1"


def test_workers_are_told_by_their_ports(toy: Callable[..., ServerProcess]) -> None:
    assert named(toy("worker = {port = true}")) == {0: "0", 1: "1", 2: "2"}
    assert named(toy("worker = {port = true, environ = 'ROLE=launcher'}")) == {}


@pytest.mark.parametrize(
    "ready",
    [
        'ready = {kind = "tcp"}',
        'ready = {kind = "tcp", url = "tcp://127.0.0.1:{worker_port}"}',
        'ready = {kind = "http", url = "http://127.0.0.1:{worker_port}/health", expect = "hello"}',
        'ready = {kind = "websocket", url = "ws://127.0.0.1:{worker_port}/", send = "x", expect = "hello"}',
        """ready = {kind = "command", command = ["sh", "-c", "echo {group} of $GROUPS"], expect = '\\d of 3'}""",
    ],
)
def test_whatever_says_that_a_server_is_ready(toy: Callable[..., ServerProcess], ready: str) -> None:
    server = toy("worker = {port = true}", ready)
    assert "ready" in [event.kind for event in server.timeline.events]


@pytest.mark.parametrize(
    ("headers", "expect"),
    [("", "Content-Type: application/json"), ("headers = {content-type = 'text/{group}'},", "content-type: text/1")],
)
def test_a_request_has_its_headers_and_json_by_default(
    toy: Callable[..., ServerProcess], headers: str, expect: str
) -> None:
    request = (
        f"""request = {{kind = "http", {headers} url = "http://127.0.0.1:{{worker_port}}/", body = "1", EXPECT}}"""
    )
    server = toy("worker = {port = true}", f"{LOG}\n{request}".replace("EXPECT", f'expect = "{expect}"'))
    reply = server.request(1)
    assert reply.ok, reply.error
    assert reply.text.lower().count("content-type") == 1
