"""The machine and its processes, whatever runs on it: /proc, clean-up after crashes, locks, ports, deadlines."""

from .cleanup import RunRecord, kill_marked, records_directory, remove_abandoned
from .deadline import Deadline
from .directories import SessionDirectory, TemporaryDirectories
from .files import write_whole, written_whole
from .locks import LockFile, exclusive
from .ports import Ports
from .supervisor import remove_tree
from .supervisor_client import SupervisorClient, SupervisorError

__all__ = [
    "Deadline", "LockFile", "Ports", "RunRecord", "SessionDirectory", "SupervisorClient", "SupervisorError",
    "TemporaryDirectories", "exclusive", "kill_marked", "records_directory", "remove_abandoned", "remove_tree",
    "write_whole", "written_whole",
]  # fmt: skip
