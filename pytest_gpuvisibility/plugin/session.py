"""Where a pytest session keeps its machine and mask, for all that is the plugin's.

Light: an idle plugin imports this, and nothing below it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ..environment import MASKS
from ..errors import UserError
from . import options

if TYPE_CHECKING:
    from ..lease import Claim
    from .gpu_session import GpuSession

PLACE = "_gpu_place"
"""The fixture that puts a test on its machine, under its mask; whatever gives a test GPUs of its own asks for it."""
SESSION = pytest.StashKey["GpuSession"]()
CLAIM: pytest.StashKey[Claim] = pytest.StashKey()
"""What a test is to have under --gpu-lease=test."""
ISOLATED = pytest.StashKey[bool]()
"""Set in the process of an isolated test."""
GIVEN = pytest.StashKey["dict[str, str | None]"]()
"""What decides over GPUs in the environment, as it was before any conftest or test file was imported."""


def is_placed(item: pytest.Item) -> bool:
    """Whether a test is given GPUs of its own, as far as collection knows."""
    return PLACE in getattr(item, "fixturenames", ())


@contextmanager
def usage_errors() -> Iterator[None]:
    """Users' mistakes as pytest shows them."""
    try:
        yield
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


@contextmanager
def errors_at_set_up() -> Iterator[None]:
    """Users' mistakes as the error of one test: the message alone."""
    try:
        yield
    except UserError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def remember_given(config: pytest.Config) -> None:
    """Call it before any conftest is imported."""
    config.stash.setdefault(GIVEN, {name: os.environ.get(name) for name in MASKS})


def active_session(config: pytest.Config) -> GpuSession:
    """The session's machine and mask; where no option asked for one, made now for the default machine, not in force."""
    if SESSION not in config.stash:
        from .gpu_session import start

        with usage_errors():
            policy = options.read(config).kernel_launch_policy
            config.stash[SESSION] = session = start(None, kernel_launches=policy, given=config.stash[GIVEN])
        config.add_cleanup(session.undo)
    return config.stash[SESSION]
