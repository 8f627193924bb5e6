"""The profile that ``gpu-visibility check --new`` writes: every key with a comment that says what it means.

Those comments are the only place where keys are explained to users; the JSON Schema takes them over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError
from . import files

NAME = "my-server"
"""What the template calls the server."""
_TEMPLATE = Path(__file__).with_suffix(".toml")
_NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KEY = re.compile(r"(?:# )?([a-z_]+) = ")
_TABLE = re.compile(r"(?:# )?\[+([a-z_.]+)\]+$")


def text(name: str = NAME) -> str:
    """The template for a server of this name."""
    return _TEMPLATE.read_text(encoding="utf-8").replace(NAME, name)


def everything() -> str:
    """The template with nothing commented out but what is text."""
    lines = text().splitlines(keepends=True)
    return "".join(line.removeprefix("# ") if _KEY.match(line) or _TABLE.match(line) else line for line in lines)


def explanations() -> Iterator[tuple[str, str]]:
    """``server.stop`` and the like, keys and tables, each with what the comment above it says."""
    table = ""
    said: list[str] = []
    for line in text().splitlines():
        if found := _TABLE.match(line):
            table = found[1]
            yield table, " ".join(said)
            said = []
        elif found := _KEY.match(line):
            yield f"{table}.{found[1]}", " ".join(said)
            said = []
        elif line.startswith("# "):
            said.append(line[2:])
        else:
            said = []


def write(name: str, directory: Path) -> Path:
    """Write the template for ``name`` as ``directory/name.toml``.

    :raises UserError: the name is none, means something else already, or there is such a file.
    """
    if not _NAMES.fullmatch(name) or name.endswith(".toml"):
        wanted = Path(name).name.removesuffix(".toml")
        raise UserError(
            f"{name!r} is no name for a server: it may hold letters, digits, dots, dashes and underscores."
            f" `gpu-visibility check --new {wanted or NAME}` writes {wanted or NAME}.toml into this directory."
        )
    if name == files.DRIVER or name in files.names():
        raise UserError(
            f"{name!r} means something already: `gpu-visibility check {name}` needs no profile of yours. Choose another"
            f" name, such as my-{name}."
        )
    path = directory / f"{name}.toml"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text(name))
    except FileExistsError:
        raise UserError(
            f"{path} is there already, and nothing was written. Choose another name, or remove the file first."
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from None
    return path


def next_steps(path: Path) -> str:
    """What to do with a new profile."""
    command = f"gpu-visibility check ./{path.name}"
    return (
        f"Wrote {path.name}. Now:\n"
        f"  1. fill in [server] command, ready and request, and [workers]; the comments say how\n"
        f"  2. {command} --gpu-rule=VIS-003   does it start, and are its workers seen?\n"
        f"  3. {command} --gpu-report={path.stem}.html   every rule"
    )
