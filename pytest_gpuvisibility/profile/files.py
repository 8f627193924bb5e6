"""The profile of a server: one TOML file that says how to launch it, know that it is ready, tell its
processes, stop it.
"""

from __future__ import annotations

import difflib
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..environment import RUN_VARIABLE
from ..errors import UserError
from ..host.cleanup import kill_marked
from ..resources import shipped_directory
from .model import REPORT_GROUPS, Option, Profile, Report, Request, Supports, Unsupported, amount, fill
from .reader import Reader

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "REPORT_GROUPS",
    "Option",
    "Profile",
    "Report",
    "Request",
    "Supports",
    "Unsupported",
    "amount",
    "fill",
    "find_program",
    "load",
    "names",
    "parse",
    "run",
    "version",
]

DRIVER = "driver"
"""The name of a server that is none: --gpu-server=driver puts the CUDA driver itself on trial."""
VERSION_LIMIT = 60.0
"""Seconds that a version command may take."""
PREPARE_LIMIT = 600.0
"""Seconds that ``[server].prepare`` may take: it may have a model to make or to fetch."""
HARNESS_VARIABLES = re.compile(r"(PYTEST|COV|COVERAGE)_.*|PYTHONPATH", re.DOTALL)


def names() -> tuple[str, ...]:
    """The shipped profiles."""
    return tuple(sorted(path.stem for path in (shipped_directory("conformance") / "servers").glob("*.toml")))


def load(name_or_path: str | Path) -> Profile:
    """Read a shipped profile by its name, or a file.

    :raises UserError: there is none, or it is malformed; the message names file, key and fix.
    """
    path = _find(name_or_path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The profile {path} is not valid TOML: {error}.") from None
    except OSError as error:
        raise UserError(f"The profile {path} cannot be read: {error.strerror}.") from None
    return Reader(path.resolve()).profile(data)


def parse(data: Mapping[str, Any], path: str | Path) -> Profile:
    """A profile from what its TOML file would hold. ``path``: what ``{here}`` and messages refer to.

    :raises UserError: it is malformed; the message names the key and the fix.
    """
    return Reader(Path(path).resolve()).profile(dict(data))


def _find(name_or_path: str | Path) -> Path:
    text = os.fspath(name_or_path)
    if text in names():
        return shipped_directory("conformance") / "servers" / f"{text}.toml"
    path = Path(text).expanduser()
    if path.is_file():
        return path
    nearest = difflib.get_close_matches(text, names(), n=1)
    raise UserError(
        f"There is no server profile {text!r}: it is neither one that ships ({', '.join(names())}) nor a"
        " file."
        + (f" Did you mean {nearest[0]!r}?" if nearest else " Name one of these, or the path of a profile's TOML file.")
    )


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


def version(profile: Profile, environ: Mapping[str, str] | None = None) -> str:
    """Ask the installed server for its version by its ``version_command``.

    :raises UserError: it is not installed, fails, takes longer than a minute, or names no version.
    """
    said, output = run(profile, profile.product.version_command, "[product].version_command", VERSION_LIMIT, environ)
    match = profile.product.version.search(output)
    if match is None:
        raise UserError(
            f"{said} printed no version that /{profile.product.version.pattern}/ matches: {output[:200]!r}."
            " Give a pattern with one group as [product].version."
        )
    return match[match.re.groups and 1]


def run(
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
