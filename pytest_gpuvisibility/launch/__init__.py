"""Launch a server under test in a scenario, once a session, and keep the record of what became of it."""

from .launcher import Launcher, WitnessMaker, launch_once

__all__ = ["Launcher", "WitnessMaker", "launch_once"]
