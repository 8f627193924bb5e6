"""What a launch *is*, as plain data: what is to be launched and done, and what became of it.

A :class:`Scenario` says what to launch and what to do to it; a :class:`LaunchRecord` is what was seen, and is judged by
any number of rules. :mod:`.plain` writes all of it as JSON and reads it again. Nothing here does anything.
"""

from .launch import UNITS, ActionResult, Event, LaunchRecord, SelfReport, WorkerKill
from .mask import NO_DEVICE, NO_DRIVER, SUCCESS, MaskAnswer, MaskQuery
from .process import Account, Evidence, ProcessRecord
from .scenario import ACTION_WORDS, IDLE, SECOND_MODEL, Action, Scenario

__all__ = [
    "ACTION_WORDS", "IDLE", "NO_DEVICE", "NO_DRIVER", "SECOND_MODEL", "SUCCESS", "UNITS", "Account", "Action",
    "ActionResult", "Event", "Evidence", "LaunchRecord", "MaskAnswer", "MaskQuery", "ProcessRecord", "Scenario",
    "SelfReport", "WorkerKill",
]  # fmt: skip
