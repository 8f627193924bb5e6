"""The profile of a server: one TOML file that says how to launch it, know it is ready, tell its processes, stop it."""

from .commands import HARNESS_VARIABLES, find_program, prepare, version_of
from .files import DRIVER, load, names, parse
from .model import Profile, amount, fill
from .tables import REPORT_GROUPS, Option, Report, Request, Supports, Unsupported

__all__ = [
    "DRIVER", "HARNESS_VARIABLES", "REPORT_GROUPS", "Option", "Profile", "Report", "Request", "Supports", "Unsupported",
    "amount", "fill", "find_program", "load", "names", "parse", "prepare", "version_of",
]  # fmt: skip
