"""Where a launched server keeps its files, and the environment that leads it there."""

from __future__ import annotations

import contextlib
import os
import site
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..environment import RUN_VARIABLE
from ..host import remove_tree
from ..profile import HARNESS_VARIABLES

ROOT_OF_SOCKETS = Path("/tmp")
"""Where the servers' TMPDIR is made, if it can be. The path of a UNIX socket may be no longer than 107 bytes."""
TAIL = 1 << 18
"""Bytes of a server's output that are read, from the end."""


class ServerFiles:
    """Directories of a launch's own, from its making until ``stack`` is closed.

    ``made`` are the directories to remove should this process die before; ``work`` is the server's working directory.
    """

    def __init__(self, directory: Path | None, home: Path | None, stack: contextlib.ExitStack) -> None:
        """:param directory: where they are made; itself made, and removed, where it does not exist.
        :param home: holds HOME, TMPDIR and the working directory instead of a directory that goes with the rest.
        """
        if directory is not None and not directory.exists():
            directory.mkdir(parents=True)
            stack.callback(remove_tree, str(directory))
        own = Path(tempfile.mkdtemp(prefix="gpu-visibility-server-", dir=directory)).resolve()
        self.home = home or own
        for name in ("home", "tmp", "work"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        short = _make_short_directory()
        self._temporary = short / "t"
        self._temporary.symlink_to(self.home / "tmp")
        self.made = [own, short]
        self.work = self.home / "work"
        self.stdout, self.stderr = own / "stdout", own / "stderr"
        self._kept: dict[Path, str] = {}

    def remove(self) -> None:
        """Remove what was made, but for a directory of the caller's."""
        for path in self.made:
            remove_tree(str(path))

    def environ(self, environ: Mapping[str, str], profile: Mapping[str, str], run: str) -> dict[str, str]:
        """What a server gets of the caller's ``environ``, with what its profile adds, as part of the run."""
        kept = {name: value for name, value in environ.items() if not HARNESS_VARIABLES.fullmatch(name)}
        if site.ENABLE_USER_SITE:
            kept.setdefault("PYTHONUSERBASE", site.getuserbase())  # it would be looked for below HOME
        return {
            **kept,
            "HOME": str(self.home / "home"),
            "XDG_CACHE_HOME": str(self.home / "home" / ".cache"),
            "TMPDIR": str(self._temporary),
            **profile,
            RUN_VARIABLE: run,
        }

    def text(self, file: Path) -> str:
        """What stands at the end of ``stdout`` or ``stderr`` so far, also when they have been removed since."""
        if file in self._kept:
            return self._kept[file]
        try:
            with open(file, "rb") as opened:
                opened.seek(max(0, os.fstat(opened.fileno()).st_size - TAIL))
                return opened.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def keep_output(self) -> None:
        """Have the output in memory: the files are about to go."""
        self._kept = {file: self.text(file) for file in (self.stdout, self.stderr)}


def _make_short_directory() -> Path:
    """For the path of TMPDIR: servers put their sockets there."""
    root = ROOT_OF_SOCKETS if os.access(ROOT_OF_SOCKETS, os.W_OK | os.X_OK) else None
    return Path(tempfile.mkdtemp(prefix="gpu-visibility-", dir=root))
