"""A clean process that is pytest already, and forks one more for each isolated test: ``fork_server.py`` FD.

It is started by exec and has loaded pytest and the installed plugins, no conftest, no test file and nothing of CUDA;
so has each process that it forks, in a tenth of the time that starting one takes. FD is its end of a connection
(``multiprocessing.connection``), over which it is told what to import, then one ``isolated_run.Request`` after another.
It answers with what the forked process sends, and with how that ended. When the other end is closed, both die.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe, wait

from _pytest.config import get_config

from .isolated_run import Request, run

PR_SET_PDEATHSIG = 1
POLL = 0.01
"""Seconds between two looks at a process where the kernel has no descriptor for it."""


def import_plugins(arguments: Sequence[str]) -> None:
    """Load pytest and the installed plugins as a run with these arguments does, without any conftest or ini file."""
    nowhere = ["--noconftest", "-c", os.devnull, "--rootdir", os.path.dirname(__file__), "--capture=no"]
    config = get_config([*arguments])
    config.parse([*nowhere, *arguments], addopts=False)
    config._ensure_unconfigure()
    gc.collect()
    gc.freeze()  # what is here now stays, and a collection in each forked process need not look at it


def serve(controller: Connection) -> None:
    """Fork a process for each request, until the other end is closed."""
    while True:
        try:
            request = controller.recv()
        except (EOFError, OSError):
            return
        receiving, sending = Pipe(duplex=False)
        pid = os.fork()
        if pid == 0:
            receiving.close()
            _run(request, sending)
        sending.close()
        status = _relay(pid, receiving, controller)
        receiving.close()
        if status is None:
            return
        controller.send(("ended", status))


def _run(request: Request, sending: Connection) -> None:
    """In the forked process: run the test, and end without coming back."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        code = run(request, sending.send)
    except BaseException as error:
        sending.send(("error", "".join(traceback.format_exception(error))))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _relay(pid: int, receiving: Connection, controller: Connection) -> int | None:
    """Pass on what the process sends until it ends; its wait status, None where the controller has gone first."""
    ending = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
    try:
        while True:
            ready = wait([receiving, controller, *([] if ending is None else [ending])], None if ending else POLL)
            if controller in ready:  # it asks for nothing more before it is answered: it has closed its end
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return None
            if receiving in ready and _pass_on(receiving, controller):
                continue
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                while receiving.poll() and _pass_on(receiving, controller):
                    pass
                return status
            if ending is None or receiving in ready:
                time.sleep(POLL)
    finally:
        if ending is not None:
            os.close(ending)


def _pass_on(receiving: Connection, controller: Connection) -> bool:
    """One message; False where the process has none, or died before it was whole."""
    try:
        controller.send(receiving.recv())
    except (EOFError, OSError):
        return False
    return True


def main(descriptor: str) -> int:
    controller = Connection(int(descriptor))
    try:
        import_plugins(controller.recv())
    except EOFError:
        return 0
    serve(controller)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
