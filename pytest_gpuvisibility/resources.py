"""Where the data that ships lies: inventories, server profiles, expectations."""

from __future__ import annotations

from pathlib import Path

from .errors import UserError

PACKAGE = Path(__file__).resolve().parent


def shipped_directory(name: str) -> Path:
    """The folder ``fixtures`` or ``conformance``: inside the installed package, or beside it in a source
    tree.

    :raises UserError: neither is there, which means that the installation is incomplete.
    """
    installed, beside = PACKAGE / name, PACKAGE.parent / name
    if installed.is_dir():
        return installed
    # An editable install and a source tree have them where git has them. A folder of that name in
    # site-packages is another project's.
    if (PACKAGE.parent / "pyproject.toml").is_file() and beside.is_dir():
        return beside
    raise UserError(
        f"pytest-gpuvisibility's own folder {name!r} is missing: neither {installed} nor {beside} of a source"
        " tree exists. The installation is incomplete, or a copy of the package's source folder lies in the"
        " current directory and hides the installed one. Reinstall pytest-gpuvisibility, or run from another"
        " directory."
    )
