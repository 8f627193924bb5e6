"""The profile of a server: one TOML file that says how to launch it, know it is ready, tell its processes, stop it."""

from .files import load, names, parse
from .model import Option, Profile, Request, Unsupported

__all__ = ["Option", "Profile", "Request", "Unsupported", "load", "names", "parse"]
