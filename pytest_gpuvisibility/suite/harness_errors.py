"""What went wrong in the harness itself, or in the machine below it, in words that help."""

from __future__ import annotations

import errno
import tempfile

from ..errors import UserError
from ..host import SupervisorError
from ..simulator import ProbeFailed

HARNESS_ERRORS = (OSError, UserError, SupervisorError, ProbeFailed)
"""What says all of it in its text: a traceback would only hide it. Nothing is known of the server then."""

_ADVICE = {
    errno.ENOSPC: "Free space there, or set TMPDIR to a directory with more.",
    errno.EDQUOT: "Free space there, or set TMPDIR to a directory with more.",
    errno.EFBIG: "Raise the limit (ulimit -f).",
    errno.EACCES: "Set TMPDIR to a directory that you may write in.",
    errno.EPERM: "Set TMPDIR to a directory that you may write in.",
    errno.EROFS: "Set TMPDIR to a directory that you may write in.",
    errno.EMFILE: "Raise the limit (ulimit -n), or run fewer pytest-xdist workers (-n).",
    errno.ENFILE: "Run fewer pytest-xdist workers (-n).",
    errno.EAGAIN: "Raise the limit of processes (ulimit -u), or run fewer pytest-xdist workers (-n).",
    errno.ENOMEM: "Run fewer pytest-xdist workers (-n).",
    errno.EADDRINUSE: "Stop what holds the ports, or run fewer pytest-xdist workers (-n).",
}


def in_words(error: BaseException) -> str:
    """One paragraph: what failed, where, and what helps."""
    if isinstance(error, UserError):
        return str(error)
    if not isinstance(error, OSError):
        return f"The harness failed, so nothing is known of the server: {error}"
    where = error.filename if error.filename is not None else f"somewhere below {tempfile.gettempdir()}"
    what = error.strerror or str(error) or type(error).__name__
    place = "" if error.errno == errno.EADDRINUSE else f" ({where})"
    advice = _ADVICE.get(error.errno or 0, "")
    return f"The harness failed, so nothing is known of the server: {what}{place}. {advice}".rstrip()
