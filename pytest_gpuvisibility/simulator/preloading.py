"""How the environment leads programs to the simulated CUDA runtimes, although theirs come first on their own paths."""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping
from pathlib import Path

from ..environment import RUNTIME_VARIABLE
from ..errors import UserError
from .native import RUNTIMES, library_directory, redirect_library

AUDITS_WELL = (2, 35)
"""The release of glibc from which on an auditor costs nothing but its questions. Before, each call of a function that
is bound lazily took ten times as long, and on aarch64 lost registers: bug 15533 of glibc, and
https://sourceware.org/pipermail/libc-alpha/2021-June/127636.html."""
TUNABLES = "GLIBC_TUNABLES"
ROOM_FOR_TLS = ("glibc.rtld.optional_static_tls", 16384)
"""Where there is an auditor, libraries that are loaded with the program find no more room for thread-local variables
than those that are opened later, 512 bytes: jemalloc, which Ray preloads, wants 2,632. The room is each thread's, out
of its stack. ThreadSanitizer's would be 768 KiB; programs built with that need another of the ways."""
WAYS = ("audit", "preload", "none")
"""What the variable may be: LD_AUDIT, LD_PRELOAD, or programs keep their own runtime, which cannot work."""


def lead_to_runtimes(environ: MutableMapping[str, str]) -> None:
    """Let programs that ask for libcudart.so.12 or .13, wherever they think it is, get ours.

    LD_AUDIT names a library that turns whoever asks to ours (native/tools/redirect.c); a process that asks for none
    loads none. Where the dynamic linker is too old for that, LD_PRELOAD loads both into every process. The variable
    GPU_VISIBILITY_RUNTIME chooses one of WAYS.

    :raises UserError: it is something else.
    """
    way = environ.get(RUNTIME_VARIABLE) or ("audit" if linker_audits_well() else "preload")
    if way not in WAYS:
        raise UserError(f"{RUNTIME_VARIABLE}={way} is not known. Unset it, or use one of {', '.join(WAYS)}.")
    if way == "audit":
        environ["LD_AUDIT"] = prepend(redirect_library(), environ.get("LD_AUDIT", ""))
        environ[TUNABLES] = _with_room(environ.get(TUNABLES, ""))
    elif way == "preload":
        for name in reversed(RUNTIMES):
            environ["LD_PRELOAD"] = prepend(library_directory() / name, environ.get("LD_PRELOAD", ""))


def _with_room(tunables: str) -> str:
    """The list with room for thread-local variables, where it does not speak of that itself."""
    name, size = ROOM_FOR_TLS
    return tunables if name in tunables else ":".join(filter(None, (tunables, f"{name}={size}")))


def linker_audits_well() -> bool:
    """Whether this system's dynamic linker is glibc's, of a release in which auditing is sound."""
    try:
        version = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        version = ""
    found = re.match(r"glibc (\d+)\.(\d+)", version)
    return found is None or (int(found[1]), int(found[2])) >= AUDITS_WELL


def prepend(entry: Path, path: str) -> str:
    """The list with an entry, once and first."""
    rest = without(entry, path)
    return f"{entry}{os.pathsep}{rest}" if rest else str(entry)


def without(entry: Path, path: str) -> str:
    return os.pathsep.join(other for other in path.split(os.pathsep) if other != str(entry))
