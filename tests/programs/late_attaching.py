"""Loads the driver argv[1], and says why it cannot go onto the machine in directory argv[2] then."""

import ctypes
import sys
from pathlib import Path

from pytest_gpuvisibility.simulator.machine import DriverAlreadyLoaded, Machine

ctypes.CDLL(sys.argv[1])
try:
    Machine.open(Path(sys.argv[2])).attach()
except DriverAlreadyLoaded as error:
    print(error)
