"""Where a pytest session keeps its machine and mask, for all that is the plugin's.

Light: an idle plugin imports this, and nothing below it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ..errors import UserError
from . import options

if TYPE_CHECKING:
    from .gpu_session import GpuSession

SESSION = pytest.StashKey["GpuSession"]()


@contextmanager
def usage_errors() -> Iterator[None]:
    """Users' mistakes as pytest shows them."""
    try:
        yield
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


def active_session(config: pytest.Config) -> GpuSession:
    """The session's machine and mask; made now, for the default machine, where no option asked for one."""
    if SESSION not in config.stash:
        from .gpu_session import start

        with usage_errors():
            policy = options.read(config).kernel_launch_policy
            config.stash[SESSION] = session = start(None, kernel_launches=policy)
        config.add_cleanup(session.undo)
    return config.stash[SESSION]
