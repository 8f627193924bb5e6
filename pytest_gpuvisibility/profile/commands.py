"""Run a server's own commands: find its program, ask for its version, prepare what it needs."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..environment import RUN_VARIABLE
from ..errors import UserError
from ..host import kill_marked
from .model import Profile, fill

VERSION_LIMIT = 60.0
"""Seconds that a version command may take."""
PREPARE_LIMIT = 600.0
"""Seconds that ``[server].prepare`` may take: it may have a model to make or to fetch."""
HARNESS_VARIABLES = re.compile(r"(PYTEST|COV|COVERAGE)_.*|PYTHONPATH", re.DOTALL)


def find_program(program: str, environ: Mapping[str, str], profile: Profile) -> str:
    """The path of a program: on the PATH of ``environ``, then beside the running Python.

    :raises UserError: it is in neither place.
    """
    searched = environ.get("PATH", os.defpath)
    found = shutil.which(program, path=os.pathsep.join([searched, os.path.dirname(sys.executable)]))
    if found is None:
        raise UserError(
            f"The program {program!r} of {profile.product.name} is not installed here. It was looked for on"
            f" PATH ({searched}) and beside the running Python ({os.path.dirname(sys.executable)}). Install"
            f" {profile.product.name} into this environment, or write the program's full path into a copy of"
            f" the profile {profile.path} and name that file."
        )
    return os.path.abspath(found)


def version_of(profile: Profile, environ: Mapping[str, str] | None = None) -> str:
    """Ask the installed server for its version by its ``version_command``.

    :raises UserError: it is not installed, fails, takes longer than a minute, or names no version.
    """
    said, output = _run(profile, profile.product.version_command, "[product].version_command", VERSION_LIMIT, environ)
    match = profile.product.version.search(output)
    if match is None:
        raise UserError(
            f"{said} printed no version that /{profile.product.version.pattern}/ matches: {output[:200]!r}."
            " Give a pattern with one group as [product].version."
        )
    return match[match.re.groups and 1]


def prepare(profile: Profile, directory: Path) -> None:
    """Run what the profile says must be made before the first launch, in ``directory``.

    :raises UserError: it is not installed, fails, or takes longer than ten minutes.
    """
    _run(profile, profile.server.prepare, "[server].prepare", PREPARE_LIMIT, directory=directory)


def _run(
    profile: Profile,
    words: Sequence[str],
    key: str,
    limit: float,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> tuple[str, str]:
    """Run a command of the profile's ``key`` for at most ``limit`` seconds: its description, and what it printed.

    It runs in ``directory``, by default the caller's own, and ends when its first process does; what that leaves behind
    is killed.

    :raises UserError: it is not installed, fails, or takes longer.
    """
    environ = {name: value for name, value in (environ or os.environ).items() if not HARNESS_VARIABLES.fullmatch(name)}
    values = profile.values(groups=0, devices=0, port=0)
    command = [fill(word, values) for word in words]
    said = f"`{' '.join(command)}` ({key} of {profile.path})"
    mark = f"{os.getpid()}-{secrets.token_hex(8)}"
    # Not a pipe, which ends only with the last process that was started.
    with tempfile.TemporaryFile() as file:
        try:
            done = subprocess.run(
                [find_program(command[0], environ, profile), *command[1:]],
                env={**environ, RUN_VARIABLE: mark},
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=limit,
                check=False,
            )
            file.seek(0)
            output = file.read().decode(errors="replace").strip()
        except subprocess.TimeoutExpired:
            raise UserError(f"{said} did not end within {limit:g} s. Run it by hand to see why.") from None
        except OSError as error:
            raise UserError(f"{said} cannot be run: {error.strerror}.") from None
        finally:
            kill_marked([mark])
    if done.returncode != 0:
        last = output.splitlines()[-1] if output else "nothing"
        raise UserError(
            f"{said} failed with exit code {done.returncode}; it last wrote: {last[:300]}. Run it by hand to see why."
        )
    return said, output
