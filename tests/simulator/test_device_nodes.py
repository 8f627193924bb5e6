"""A /dev of a program's own: what it sees there, and that nobody else sees anything."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_gpuvisibility.simulator import device_nodes

LIST = "import os; print(sorted(os.listdir('/dev')))"
NODES = """
import os
for name in ("nvidia1", "nvidia3", "nvidiactl"):
    status = os.stat(f"/dev/{name}")
    print(name, oct(status.st_mode), os.major(status.st_rdev), os.minor(status.st_rdev))
"""

needs_the_right = pytest.mark.skipif(bool(device_nodes.why_not()), reason=f"not allowed here: {device_nodes.why_not()}")


def run(minors: list[int], program: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*before, *device_nodes.wrapper(minors), sys.executable, "-I", "-S", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


@needs_the_right
def test_only_the_nodes_that_were_given_are_there() -> None:
    done = run([1, 3], NODES)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "nvidia1 0o20666 195 1",
        "nvidia3 0o20666 195 3",
        "nvidiactl 0o20666 195 255",
    ]
    everything = run([1, 3], LIST).stdout
    assert "nvidia0" not in everything
    assert "nvidia2" not in everything


@needs_the_right
def test_the_rest_of_dev_is_what_it_was() -> None:
    ours = {name for name in os.listdir("/dev") if not name.startswith("nvidia")}
    assert eval(run([], LIST).stdout) == sorted(ours | {"nvidiactl"})
    works = "open('/dev/null', 'w').write('x'); print(len(open('/dev/urandom', 'rb').read(4)), os.umask(0))"
    umask = os.umask(0o27)
    try:
        assert run([0], f"import os; {works}").stdout == f"4 {0o27}\n"
    finally:
        os.umask(umask)


@needs_the_right
def test_nobody_else_sees_it_and_nothing_stays_mounted() -> None:
    def outside() -> tuple[str, list[str], str]:
        return Path("/proc/self/mounts").read_text(), sorted(os.listdir("/dev")), os.readlink("/proc/self/ns/mnt")

    before = outside()
    with subprocess.Popen(
        [*device_nodes.wrapper([5]), sys.executable, "-I", "-S", "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as inside:
        assert inside.stdout is not None
        assert inside.stdout.readline() == "\n"
        assert stat.S_ISCHR(os.stat(f"/proc/{inside.pid}/root/dev/nvidia5").st_mode)
        assert outside() == before
        inside.communicate("\n")
    assert outside() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up the right")
def test_without_the_right_it_says_why_and_starts_nothing() -> None:
    done = run([0], "print('started')", before=("setpriv", "--bounding-set", "-sys_admin"))
    assert (done.returncode, done.stdout) == (device_nodes.FAILED, "")
    assert "no mount namespace of its own: Operation not permitted" in done.stderr
