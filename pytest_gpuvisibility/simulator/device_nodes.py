"""A /dev of one's own for one program, with just the NVIDIA device nodes that a container would have been given.

As a program, ``python -I -S device_nodes.py 1,3 PROGRAM ARGUMENT...`` takes a mount namespace of its own, puts a copy
of /dev there without any node of NVIDIA's, adds /dev/nvidiactl, /dev/nvidia1 and /dev/nvidia3, and becomes PROGRAM.
Nothing outside sees it, and it is gone with its last process. It needs CAP_SYS_ADMIN and CAP_MKNOD: root, usually, and
not in every container. Linux only; standard library only.
"""

from __future__ import annotations

import ctypes
import functools
import os
import stat
import subprocess
import sys
from collections.abc import Iterable

CLONE_NEWNS = 0x20000
MS_NOSUID, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x1000, 0x4000, 0x40000
NVIDIA = 195
"""The major number of NVIDIA's device nodes."""
CONTROL = 255
"""The minor number of /dev/nvidiactl."""
FAILED = 125
PROBE_LIMIT = 20.0


def wrapper(minors: Iterable[int]) -> list[str]:
    """What to put before a command for it to have these nodes alone."""
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), ",".join(map(str, minors))]


@functools.cache
def why_not() -> str:
    """Why a program cannot have a /dev of its own here; empty where it can."""
    try:
        done = subprocess.run(
            [*wrapper([0]), sys.executable, "-I", "-S", "-c", "open('/dev/null').close()"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROBE_LIMIT,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def take(minors: Iterable[int]) -> None:
    """Give this process, and those that it will start, a /dev with these nodes. For a program that is about to exec.

    :raises OSError: the caller has not the right to.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]

    def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
        given = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
        if libc.mount(*given, flags, os.fsencode(data)):
            raise OSError(ctypes.get_errno(), f"mounting on {target}: {os.strerror(ctypes.get_errno())}")

    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), f"no mount namespace of its own: {os.strerror(ctypes.get_errno())}")
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    before = os.open("/dev", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mount("gpu-visibility", "/dev", "tmpfs", MS_NOSUID, "mode=755,size=1m")
    os.umask(0)
    for name in os.listdir(f"/proc/self/fd/{before}"):
        if not name.startswith("nvidia"):
            source, target = f"/proc/self/fd/{before}/{name}", f"/dev/{name}"
            if _copy(source, target):
                mount(source, target, None, MS_BIND | MS_REC)
    for name, minor in (("nvidiactl", CONTROL), *((f"nvidia{minor}", minor) for minor in minors)):
        os.mknod(f"/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(NVIDIA, minor))
    os.close(before)


def _copy(source: str, target: str) -> bool:
    """Make what ``source`` is again. True where it has to be mounted: a directory, or no device."""
    status = os.lstat(source)
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(source), target)
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        os.mknod(target, status.st_mode, status.st_rdev)
        os.chown(target, status.st_uid, status.st_gid)
    elif stat.S_ISDIR(status.st_mode):
        os.mkdir(target)
        return True
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
        return True
    return False


def main() -> None:
    before = os.umask(0)
    os.umask(before)
    try:
        take([int(minor) for minor in sys.argv[1].split(",") if minor])
    except OSError as error:
        sys.stderr.write(f"{error.strerror or error}\n")
        sys.exit(FAILED)
    os.umask(before)
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
