"""A directory for one session's machines and records, removed at its end, or by the next session after a crash."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from . import cleanup


class SessionDirectory:
    """``path`` exists from the start to :meth:`close`. Starting one clears away what crashed sessions left."""

    def __init__(self) -> None:
        cleanup.sweep()
        self.path = Path(tempfile.mkdtemp(prefix="gpu-visibility-"))
        self._run = cleanup.Run([self.path])

    def close(self) -> None:
        """Remove the directory and everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._run.close()

    def __enter__(self) -> SessionDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
