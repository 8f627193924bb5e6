"""Directories for one session's machines and records, removed at its end, or by the next session after a crash."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .cleanup import RunRecord, remove_abandoned


class TemporaryDirectories:
    """New directories, on record from the start to :meth:`close`. Starting clears away what crashed sessions left.

    ``run``: the id under which they are on record.
    """

    def __init__(self, parents: Sequence[Path | None]) -> None:
        """:param parents: where each is made; None: where the system has its temporary files."""
        remove_abandoned()
        self.paths = [Path(tempfile.mkdtemp(prefix="gpu-visibility-", dir=parent)) for parent in parents]
        self._record = RunRecord(self.paths)
        self.run = self._record.id

    def close(self) -> None:
        """Remove the directories and everything in them."""
        for path in self.paths:
            shutil.rmtree(path, ignore_errors=True)
        self._record.close()


class SessionDirectory:
    """``path`` exists from the start to :meth:`close`; a context manager."""

    def __init__(self) -> None:
        self._directories = TemporaryDirectories([None])
        [self.path] = self._directories.paths

    def close(self) -> None:
        """Remove the directory and everything in it."""
        self._directories.close()

    def __enter__(self) -> SessionDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
