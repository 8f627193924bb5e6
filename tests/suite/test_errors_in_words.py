"""What is said where the harness fails, or the machine below it: what failed, where, and what helps."""

from __future__ import annotations

import errno
import os
import tempfile

import pytest

from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.host import SupervisorError
from pytest_gpuvisibility.suite import in_words

BEGIN = "The harness failed, so nothing is known of the server: "
HELPS = {
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
}


@pytest.mark.parametrize("number", HELPS, ids=errno.errorcode.get)
def test_a_fault_of_the_machine_is_told_with_its_place_and_what_helps(number: int) -> None:
    error = OSError(number, os.strerror(number), "/tmp/x")
    assert in_words(error) == f"{BEGIN}{os.strerror(number)} (/tmp/x). {HELPS[number]}"


def test_a_port_has_no_place_among_files() -> None:
    said = in_words(OSError(errno.EADDRINUSE, "Address already in use"))
    assert said == f"{BEGIN}Address already in use. Stop what holds the ports, or run fewer pytest-xdist workers (-n)."


def test_a_fault_without_a_place_is_somewhere_below_the_directory_for_temporary_files() -> None:
    said = in_words(OSError(errno.EIO, "Input/output error"))
    assert said == f"{BEGIN}Input/output error (somewhere below {tempfile.gettempdir()})."


def test_a_fault_without_words_is_told_by_what_there_is() -> None:
    where = f"(somewhere below {tempfile.gettempdir()})."
    assert in_words(OSError("what is this")) == f"{BEGIN}what is this {where}"
    assert in_words(ConnectionResetError()) == f"{BEGIN}ConnectionResetError {where}"


def test_a_users_mistake_is_told_as_it_is() -> None:
    assert in_words(UserError("Give --x a value.")) == "Give --x a value."


def test_whatever_else_fails_is_told_in_its_own_words() -> None:
    assert in_words(SupervisorError("it is gone")) == f"{BEGIN}it is gone"
