"""Takes argv[2] devices of a100x4, says which, and keeps them until its stdin ends."""

import sys
from pathlib import Path

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.lease import LeaseOffice

print("asking", flush=True)
with LeaseOffice(Inventory.load("a100x4").devices, Path(sys.argv[1])).take(int(sys.argv[2]), 60) as lease:
    print(*(device.index for device in lease.devices), flush=True)
    sys.stdin.read()
