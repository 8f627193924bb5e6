"""Takes all devices of the machine at once, and says what is left where leases are kept."""

import os
import pathlib

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.lease import LeaseOffice

leases = pathlib.Path(os.environ["GPU_VISIBILITY_MACHINE"], "leases")
with LeaseOffice(Inventory.load("a100x4").devices, leases).take(4, timeout=0):
    pass
print("left:", [path.name for path in leases.iterdir()])
