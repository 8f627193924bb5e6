"""Facts about processes, against processes made for the purpose."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pytest_gpuvisibility.host import procfs

TALK = "import sys; print('up', flush=True); sys.stdin.read()"


@contextmanager
def child(code: str = TALK, *, environ: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A Python that has printed one line, and lives until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code, "a word", ""],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_arguments_and_environment_at_exec() -> None:
    code = f"import os; os.environ['LATER'] = '1'; {TALK}"
    with child(code, environ={"NAME": "a=b", "EMPTY": "", "BYTES": os.fsdecode(b"\xff")}) as process:
        assert procfs.argv(process.pid)[-2:] == ("a word", "")
        environ = procfs.environ(process.pid)
    assert environ["NAME"] == "a=b"
    assert environ["EMPTY"] == ""
    assert os.fsencode(environ["BYTES"]) == b"\xff"
    assert "LATER" not in environ


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    found = procfs.stat(process.pid)
    assert found is not None
    assert not found.alive
    assert not procfs.is_alive(process.pid, found.start_time)
    process.wait()
    assert procfs.stat(process.pid) is None
    assert procfs.argv(process.pid) == ()
    assert procfs.environ(process.pid) == {}


def test_a_name_with_brackets_does_not_confuse() -> None:
    rename = "open('/proc/self/comm', 'w').write(') S 1 (')"
    with child(f"{rename}; {TALK}") as process:
        found = procfs.stat(process.pid)
    assert found is not None
    assert found.ppid == os.getpid()


def test_grandchildren_are_family() -> None:
    nested = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {TALK!r}]); p.wait()"
    with child(nested) as process:
        assert process.stdin is not None
        quick = procfs.family(os.getpid())
        complete = procfs.everyone_below(os.getpid())
        grandchildren = procfs.family(process.pid)
        process.stdin.close()
        process.wait()
    assert len(grandchildren) == 1
    for found in (quick, complete):
        assert {process.pid, *grandchildren} <= set(found)
        assert found.index(process.pid) < found.index(grandchildren[0])


def test_a_signal_reaches_only_the_process_that_is_meant() -> None:
    with child() as process:
        found = procfs.stat(process.pid)
        assert found is not None
        assert not procfs.send_signal(process.pid, found.start_time + 1, signal.SIGTERM)
        assert procfs.is_alive(process.pid, found.start_time)
        assert procfs.send_signal(process.pid, found.start_time, signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
        assert not procfs.send_signal(process.pid, found.start_time, signal.SIGTERM)


def test_marked_processes_are_found_by_the_whole_value() -> None:
    with child(environ={"A_MARK": "seven-1"}) as process:
        assert procfs.marked("A_MARK", ["seven-1", "other"]) == [process.pid]
        assert procfs.marked("A_MARK", ["seven"]) == []


def test_listening_sockets_are_found_and_attributed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as idle:
        port = server.getsockname()[1]
        idle.bind(("127.0.0.1", 0))
        found = procfs.listening([port, idle.getsockname()[1]])
        assert list(found) == [port]
        assert found[port] <= procfs.sockets(os.getpid())


@pytest.mark.parametrize("left", [b"\0\0\0B=2\0", b"A=1\0B=2\0\0\0\0", b"le of a process\0B=2\0", b"\0" * 40])
def test_what_a_title_leaves_of_an_environment_is_none(left: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "_read", lambda path: left)
    assert procfs.environ(1) == {}


def test_an_environment_may_hold_odd_names_and_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "_read", lambda path: b"A=1=2\n\0BASH_FUNC_x%%=() { :; }\0EMPTY=\0nonsense\0")
    assert procfs.environ(1) == {"A": "1=2\n", "BASH_FUNC_x%%": "() { :; }", "EMPTY": ""}
