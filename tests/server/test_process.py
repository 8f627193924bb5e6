"""A launched server: what is known of its processes, and that nothing of it is left, whatever happens."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from places import program
from simulated_programs import python
from websockets.sync.server import ServerConnection, serve

import pytest_gpuvisibility
from pytest_gpuvisibility.environment import RUN_VARIABLE
from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.host import Ports, SupervisorError, cleanup, ports, procfs
from pytest_gpuvisibility.profile import Profile
from pytest_gpuvisibility.profile import files as profiles
from pytest_gpuvisibility.server import LaunchRequest, ProcessFacts, ServerProcess, front_door_is_open, wait_until_ready
from pytest_gpuvisibility.server.requests import Call

LIMIT = 20.0

PROFILE = """
[product]
name = "toy"
version_command = ["{python}", "-V"]
[server]
command = ["{python}", "-I", "-S", "{here}/server.py", "launcher", "{mode}", "{port}", "{groups}"]
values = {mode = "MODE"}
env = {FROM_PROFILE = "{groups} groups"}
ready_deadline = 20.0
request = {kind = "http", url = "http://127.0.0.1:{worker_port}/", expect = "answered", deadline = 0.5}
[workers]
worker = {argv = 'server\\.py (real-)?worker \\w+ (?P<port>\\d+)'}
balancer = {argv = 'server\\.py balancer'}
"""


@pytest.fixture(autouse=True)
def registry_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no test cleans up after another one, or after the person who runs them."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))


def profile_file(directory: Path, mode: str = "plain", *edits: tuple[str, str]) -> Path:
    text = PROFILE.replace("MODE", mode)
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    shutil.copy(program("servers/plain.py"), directory / "server.py")
    path = directory / "toy.toml"
    path.write_text(text)
    return path


def profile(directory: Path, mode: str = "plain", *edits: tuple[str, str]) -> Profile:
    return profiles.load(profile_file(directory, mode, *edits))


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Where servers may write; at the end nothing may be there, and nothing on record."""
    yield tmp_path / "scenario"
    assert not (tmp_path / "scenario").exists()
    assert list(cleanup.records_directory().iterdir()) == []


def gone(server: ServerProcess) -> bool:
    """No process that was ever seen lives, no port is open."""
    ports = range(server.port, server.port + server.groups + 1)
    living = [facts for facts in server.seen.values() if procfs.is_alive(facts.pid, facts.start_time)]
    return not living and not procfs.listening(ports)


def workers(server: ServerProcess) -> dict[int, ProcessFacts]:
    """The living workers by group."""
    return {facts.group: facts for facts in server.observe() if facts.role == "worker" and facts.group is not None}


def front_opens(server: ServerProcess) -> bool:
    """Whether the balancer listens within LIMIT: readiness is of the workers, and they may be quicker."""
    deadline = time.monotonic() + LIMIT
    while not (opened := front_door_is_open(server)) and time.monotonic() < deadline:
        server.wait_exit(0.05)
    return opened


def wait_for_end(pidfds: Mapping[int, int]) -> list[int]:
    """Pids that have not ended within LIMIT. pid -> pidfd."""
    pending = dict(pidfds)
    deadline = time.monotonic() + LIMIT
    while pending and (left := deadline - time.monotonic()) > 0:
        ready = select.select(list(pending.values()), [], [], left)[0]
        pending = {pid: descriptor for pid, descriptor in pending.items() if descriptor not in ready}
    return list(pending)


# What is seen of a server that behaves.


def test_a_server_from_start_to_stop(tmp_path: Path, directory: Path) -> None:
    with ServerProcess(profile(tmp_path), directory=directory) as server:
        server.start(LaunchRequest(groups=2, devices=1, environ=os.environ))
        outcome = wait_until_ready(server)
        assert (outcome.kind, outcome.exit_code) == ("ready", None)
        assert server.worker_ports == [server.port + 1, server.port + 2]
        roles = sorted((facts.role, facts.group) for facts in server.observe() if facts.role != "worker")
        assert roles == [("balancer", None), ("launcher", None)]
        assert sorted(workers(server)) == [0, 1]
        for group, facts in workers(server).items():
            assert server.request(group).text == f"answered by {facts.pid}"
            assert facts.ppid == server.pid
            assert str(server.worker_ports[group]) in facts.argv
        assert front_opens(server)
        server.signal_launcher(signal.SIGINT)
        assert server.wait_exit() == 0
        assert server.wait_all_gone() == []
        assert not front_door_is_open(server)
        assert server.seen[server.pid].exit_code == 0
    assert "interrupted" in server.stdout
    assert server.stderr == ""
    assert gone(server)


def test_the_environment_is_the_given_one_and_nothing_of_the_harness(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of/the/harness")
    monkeypatch.setenv("COV_CORE_SOURCE", "1")
    given = {
        **os.environ,
        "GIVEN": os.fsdecode(b"\xe9"),
        "HOME": "/of/a/person",
        "FROM_PROFILE": "overridden",
    }
    with ServerProcess(profile(tmp_path), directory=directory) as server:
        server.start(LaunchRequest(groups=1, devices=1, environ=given))
        wait_until_ready(server)
        environ = server.seen[server.pid].environ
    assert "PYTEST_CURRENT_TEST" in given
    assert environ["GIVEN"] == given["GIVEN"]
    assert environ["FROM_PROFILE"] == "1 groups"
    assert [name for name in environ if re.match("PYTEST|COV|PYTHONPATH", name)] == []
    for name in ("HOME", "XDG_CACHE_HOME"):
        assert Path(environ[name]).is_relative_to(directory)
    assert not Path(environ["TMPDIR"]).exists()
    assert len(environ["TMPDIR"]) < 32  # room for the paths of sockets, which end at 107 bytes
    assert environ[RUN_VARIABLE]


def test_workers_without_a_pattern_are_told_by_their_ports(tmp_path: Path, directory: Path) -> None:
    with ServerProcess(profile(tmp_path, "plain", ("worker = {argv", "#")), directory=directory) as server:
        server.start(LaunchRequest(groups=2, devices=1, environ=os.environ))
        wait_until_ready(server)
        found = workers(server)
    assert sorted(found) == [0, 1]
    assert all("worker" in facts.argv for facts in found.values())


def test_a_launcher_that_serves_alone_is_its_own_worker(tmp_path: Path, directory: Path) -> None:
    with ServerProcess(profile(tmp_path, "alone", ("worker = {argv", "#")), directory=directory) as server:
        server.start(LaunchRequest(groups=1, devices=1, environ=os.environ))
        assert wait_until_ready(server).kind == "ready"
        assert [(facts.pid, facts.role, facts.group) for facts in server.observe()] == [(server.pid, "worker", 0)]


def test_a_worker_that_execs_is_known_by_what_it_became(tmp_path: Path, directory: Path) -> None:
    with ServerProcess(profile(tmp_path, "execs"), directory=directory) as server:
        server.start(LaunchRequest(groups=1, devices=1, environ={**os.environ, "CUDA_VISIBLE_DEVICES": "early"}))
        wait_until_ready(server)
        worker = workers(server)[0]
    assert worker.environ["CUDA_VISIBLE_DEVICES"] == "late"
    assert "real-worker" in worker.argv


def test_what_a_worker_forks_belongs_to_its_group(tmp_path: Path, directory: Path) -> None:
    with ServerProcess(profile(tmp_path, "forks"), directory=directory) as server:
        server.start(LaunchRequest(groups=2, devices=1, environ=os.environ))
        wait_until_ready(server)
        alive = server.observe()
    groups = {facts.pid: facts.group for facts in alive if facts.role == "worker"}
    assert set(groups.values()) == {0, 1}
    assert {facts.ppid: facts.group for facts in alive if facts.role == "other"} == groups
    assert gone(server)


def test_a_worker_is_reported_as_soon_as_it_is_there(tmp_path: Path, directory: Path) -> None:
    with ServerProcess(profile(tmp_path, "silent"), directory=directory) as server:
        server.start(LaunchRequest(groups=2, devices=1, environ=os.environ))
        worker = server.wait_for_worker(1)
        assert worker is not None
        assert worker.group == 1
        assert server.kill(worker.pid)
        assert wait_until_ready(server, 0.3).kind == "timeout"
        assert not server.seen[worker.pid].alive
        assert not server.kill(worker.pid)


def test_no_worker_of_a_server_that_refuses(tmp_path: Path, directory: Path) -> None:
    with ServerProcess(profile(tmp_path, "refuses"), directory=directory) as server:
        server.start(LaunchRequest(groups=1, devices=1, environ=os.environ))
        assert server.wait_for_worker(0) is None
        assert server.exit_code == 1


# Servers that do not get ready.


def test_a_launcher_that_exits_ends_the_wait_at_once(tmp_path: Path, directory: Path) -> None:
    with ServerProcess(profile(tmp_path, "refuses"), directory=directory) as server:
        server.start(LaunchRequest(groups=2, devices=1, environ=os.environ))
        outcome = wait_until_ready(server, 3600)
        assert (outcome.kind, outcome.exit_code) == ("exited", 1)
    assert server.stdout == "starting 2\n"
    assert server.stderr == "too few devices\n"


def test_an_open_port_that_does_not_answer_is_not_ready(tmp_path: Path, directory: Path) -> None:
    with ServerProcess(profile(tmp_path, "silent"), directory=directory) as server:
        server.start(LaunchRequest(groups=2, devices=1, environ=os.environ))
        outcome = wait_until_ready(server, 1.0)
        assert (outcome.kind, outcome.exit_code) == ("timeout", None)
        assert outcome.seconds >= 1.0
        reply = server.request(0)
        assert not reply.ok
        assert reply.error == "no answer within 0.5 s"
    assert gone(server)


@pytest.mark.parametrize(
    ("mode", "ready"),
    [
        ("silent", '{kind = "tcp"}'),
        ("silent", '{kind = "log", expect = "starting \\\\d"}'),
        ("plain", '{kind = "http", url = "http://127.0.0.1:{port}/", expect = "answered"}'),
        ("plain", '{kind = "http", url = "http://127.0.0.1:{worker_port}/"}'),
    ],
)
def test_other_signs_of_readiness(tmp_path: Path, directory: Path, mode: str, ready: str) -> None:
    edit = ("request =", f"ready = {ready}\nrequest =")
    with ServerProcess(profile(tmp_path, mode, edit), directory=directory) as server:
        server.start(LaunchRequest(groups=2, devices=1, environ=os.environ))
        assert wait_until_ready(server).kind == "ready"


def test_a_worker_whose_port_is_taken(tmp_path: Path, directory: Path) -> None:
    ports = Ports.reserve(3)
    with (
        socket.create_server(("127.0.0.1", ports.first + 2)),
        ServerProcess(profile(tmp_path), directory=directory) as server,
    ):
        server.start(LaunchRequest(groups=2, devices=1, environ=os.environ, ports=ports))
        with pytest.raises(SupervisorError, match=f"port {ports.first + 2}, .* was taken by another program"):
            wait_until_ready(server, 1.0)
        assert server.request(0).ok
        assert list(workers(server)) == [0]
    ports.release()


def test_ports_are_reserved_against_others(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ports.FIRST_PORT - 64 * ports.BLOCK  # where nobody else reserves any
    monkeypatch.setattr(ports, "FIRST_PORT", first)
    monkeypatch.setattr(ports, "_end_of_range", lambda: first + 2 * ports.BLOCK)
    one, other = Ports.reserve(3), Ports.reserve(ports.BLOCK)
    assert {one.first, other.first} == {first, first + ports.BLOCK}
    with pytest.raises(OSError, match="no 1 consecutive ports are free"):
        Ports.reserve(1)
    one.release()
    with socket.create_server(("127.0.0.1", one.first + 2)):
        with pytest.raises(OSError, match="no 3 consecutive ports are free"):
            Ports.reserve(3)
        Ports.reserve(2).release()
    other.release()


def test_a_program_that_is_not_installed(tmp_path: Path, directory: Path) -> None:
    edit = ('command = ["{python}"', 'command = ["toy-that-is-nowhere"')
    with (
        ServerProcess(profile(tmp_path, "plain", edit), directory=directory) as server,
        pytest.raises(UserError, match=r"toy-that-is-nowhere.*looked for on PATH.*Install toy"),
    ):
        server.start(LaunchRequest(groups=1, devices=1, environ=os.environ))


def test_a_program_that_cannot_be_run_is_a_failure_of_the_harness(tmp_path: Path, directory: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/nowhere/interpreter\n")
    broken.chmod(0o700)
    edit = ('command = ["{python}"', f'command = ["{broken}"')
    with (
        ServerProcess(profile(tmp_path, "plain", edit), directory=directory) as server,
        pytest.raises(SupervisorError, match="could not be started: FileNotFoundError"),
    ):
        server.start(LaunchRequest(groups=1, devices=1, environ=os.environ))


# Nothing stays behind.


def test_sigterm_to_the_launcher_leaves_survivors_with_their_ports(tmp_path: Path, directory: Path) -> None:
    with ServerProcess(profile(tmp_path), directory=directory) as server:
        server.start(LaunchRequest(groups=2, devices=1, environ=os.environ))
        wait_until_ready(server)
        server.signal_launcher(signal.SIGTERM)
        assert server.wait_exit() == -signal.SIGTERM
        survivors = server.wait_all_gone(0.1)
        assert {facts.role: facts.ports for facts in survivors if facts.role == "balancer"} == {
            "balancer": (server.port,)
        }
        assert sorted(facts.ports for facts in survivors if facts.role == "worker") == [
            (port,) for port in server.worker_ports
        ]
    assert gone(server)


def test_a_signal_to_the_group_reaches_all(tmp_path: Path, directory: Path) -> None:
    with ServerProcess(profile(tmp_path), directory=directory) as server:
        server.start(LaunchRequest(groups=2, devices=1, environ=os.environ))
        wait_until_ready(server)
        assert server.signal_group(signal.SIGTERM)
        assert server.wait_all_gone() == []
        assert not server.signal_group(signal.SIGTERM)


def test_daemons_without_session_parent_or_mark_are_seen_and_killed(tmp_path: Path, directory: Path) -> None:
    with ServerProcess(profile(tmp_path, "daemon"), directory=directory) as server:
        server.start(LaunchRequest(groups=2, devices=1, environ=os.environ))
        assert wait_until_ready(server).kind == "ready"
        found = workers(server)
        assert sorted(found) == [0, 1]
        assert all(RUN_VARIABLE not in facts.environ for facts in found.values())
        assert all(os.getsid(facts.pid) != os.getsid(server.pid) for facts in found.values())
    assert gone(server)


def test_an_exception_in_the_middle_leaves_nothing(tmp_path: Path, directory: Path) -> None:
    server = ServerProcess(profile(tmp_path, "silent"), directory=directory)
    with pytest.raises(ZeroDivisionError), server:  # noqa: PT012
        server.start(LaunchRequest(groups=2, devices=1, environ=os.environ))
        assert server.wait_for_worker(1)
        raise ZeroDivisionError
    assert gone(server)
    server.close()


@contextmanager
def harness(tmp_path: Path, mode: str, *what: str, wrapper: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    package = Path(pytest_gpuvisibility.__file__).parent.parent
    arguments = [str(profile_file(tmp_path, mode)), str(tmp_path / "scenario"), *what]
    with subprocess.Popen(
        [*wrapper, *python("servers/harness.py", *arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(package)},
        start_new_session=True,
        # Who runs these tests in the background of a shell has SIGINT ignored, and programs inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return dict(json.loads(line))


@pytest.mark.parametrize("mode", ["plain", "silent", "daemon"])
def test_a_killed_harness_leaves_nothing(tmp_path: Path, directory: Path, mode: str) -> None:
    with harness(tmp_path, mode, "wait") as process:
        facts = said(process)
        pidfds = {pid: os.pidfd_open(pid) for pid in [facts["supervisor"], *facts["pids"]]}
        assert len(pidfds) >= 4  # the supervisor, the launcher, two workers
        process.kill()
        assert wait_for_end(pidfds) == []
        for descriptor in pidfds.values():
            os.close(descriptor)
        process.communicate()
    # The supervisor removes its directories; the record that they existed goes with the next run.
    assert list((tmp_path / "scenario").glob("*/*")) == []
    assert cleanup.remove_abandoned() == []
    (tmp_path / "scenario").rmdir()


def test_ctrl_c_ends_the_harness_and_everything_else(tmp_path: Path, directory: Path) -> None:
    with harness(tmp_path, "silent", "wait") as process:
        facts = said(process)
        pidfds = {pid: os.pidfd_open(pid) for pid in [facts["supervisor"], *facts["pids"]]}
        os.killpg(process.pid, signal.SIGINT)
        assert wait_for_end(pidfds) == []
        for descriptor in pidfds.values():
            os.close(descriptor)
        _, errors = process.communicate()
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in errors


def test_sigint_reaches_a_server_although_the_harness_ignores_it(tmp_path: Path, directory: Path) -> None:
    with harness(tmp_path, "plain", "stop", wrapper=("sh", "-c", 'trap "" INT; exec "$@"', "sh")) as process:
        said(process)
        assert said(process) == {"exit_code": 0}
        assert process.wait(LIMIT) == 0
        process.communicate()


def test_a_killed_supervisor_is_a_failure_of_the_harness_and_leaves_nothing(tmp_path: Path, directory: Path) -> None:
    with ServerProcess(profile(tmp_path), directory=directory) as server:
        server.start(LaunchRequest(groups=2, devices=1, environ=os.environ))
        wait_until_ready(server)
        os.kill(procfs.stat(server.pid).ppid, signal.SIGKILL)  # type: ignore[union-attr]
        with pytest.raises(SupervisorError, match="is gone"):
            wait_until_ready(server, LIMIT)
    assert gone(server)


def test_the_next_run_sweeps_up_after_harness_and_supervisor(tmp_path: Path, directory: Path) -> None:
    with harness(tmp_path, "plain", "wait") as process:
        facts = said(process)
        assert cleanup.remove_abandoned() == []  # it lives, so its server is not ours to kill
        pidfds = {pid: os.pidfd_open(pid) for pid in facts["pids"]}
        supervisor = os.pidfd_open(facts["supervisor"])
        process.send_signal(signal.SIGSTOP)
        signal.pidfd_send_signal(supervisor, signal.SIGKILL)
        process.kill()
        assert wait_for_end({facts["supervisor"]: supervisor, process.pid: os.pidfd_open(process.pid)}) == []
        assert all(procfs.stat(pid).alive for pid in pidfds)  # type: ignore[union-attr]
        assert sorted(cleanup.remove_abandoned()) == sorted(pidfds)
        assert wait_for_end(pidfds) == []
        for descriptor in [supervisor, *pidfds.values()]:
            os.close(descriptor)
        process.communicate()
    assert list((tmp_path / "scenario").iterdir()) == []
    (tmp_path / "scenario").rmdir()


# Requests.


def ask(port: int, **what: str) -> Call:
    return Call(expect=re.compile("TOKEN"), deadline=1.0, **{"kind": "websocket", **what})  # type: ignore[arg-type]


@pytest.fixture
def websocket_port() -> Iterator[int]:
    """A server that answers `ask` in two messages, closes at `close`, and is silent otherwise."""

    def handle(connection: ServerConnection) -> None:
        for message in connection:
            if message == "ask":
                connection.send("HELLO")
                connection.send("TOKEN [1]")
            elif message == "close":
                return

    with serve(handle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("send", "error"),
    [("ask", ""), ("close", "closed the connection without an answer"), ("wait", "no answer within 1 s")],
)
def test_a_websocket_request(websocket_port: int, monkeypatch: pytest.MonkeyPatch, send: str, error: str) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # a proxy has no business here
    reply = ask(websocket_port, url=f"ws://127.0.0.1:{websocket_port}/", send=send)()
    assert reply.ok == (not error)
    assert error in reply.error
    assert reply.seconds < 3


def test_a_http_server_that_drips_is_given_up(tmp_path: Path) -> None:
    stop = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            while not stop.wait(0.05):
                try:
                    connection.sendall(b".")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=[listener])
        thread.start()
        port = listener.getsockname()[1]
        reply = ask(port, kind="http", url=f"http://127.0.0.1:{port}/")()
        stop.set()
        thread.join()
    assert not reply.ok
    assert 1 <= reply.seconds < 3


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("print('TOKEN')", ""),
        ("print('nothing')", "answered, but not with /TOKEN/"),
        ("raise SystemExit('TOKEN')", "exited with 1"),
        ("import time; time.sleep(60)", "no answer within 1 s"),
    ],
)
def test_a_request_by_command(code: str, error: str) -> None:
    command = (sys.executable, "-I", "-S", "-c", code)
    reply = Call("command", re.compile("TOKEN"), 1.0, command=command, environ=os.environ)()
    assert reply.ok == (not error)
    assert error in reply.error
