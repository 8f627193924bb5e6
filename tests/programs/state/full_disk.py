"""Makes a machine on the disk argv[1] and fills it: what a program there is answered, and what making another says."""

import os
import sys
from pathlib import Path

import pytest
from simulated_programs import ask
from test_state import ALL_WELL, NO_SLOT

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.simulator.machine import Machine
from pytest_gpuvisibility.simulator.state import MachineError

disk, inventory = Path(sys.argv[1]), Inventory.load("a100x2")
with Machine.create(inventory, disk / "first") as first:
    with (disk / "filling").open("wb", buffering=0) as filling:
        while os.statvfs(disk).f_bavail:
            filling.write(bytes(4096))
    assert ask(first, "state/answers.py") == NO_SLOT
    with pytest.raises(MachineError, match="No space left on device; its state takes 48 kB, so free some space"):
        Machine.create(inventory, disk / "second")
    assert not (disk / "second").exists()
    (disk / "filling").unlink()
    assert ask(first, "state/answers.py") == ALL_WELL
print("as it should be")
