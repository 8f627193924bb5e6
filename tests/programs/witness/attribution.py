"""What the control says that NVML lists this process, where what it rests on is as argv[1] says."""

import sys

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.host import procfs
from pytest_gpuvisibility.witness import nvml

match sys.argv[1]:
    case "pids of another namespace":
        procfs.stat = lambda pid: None
    case "an empty list":
        nvml.ProcessLists._list = lambda self, handle: []
    case real:
        assert real == "real"
try:
    print(nvml.check_attribution(Inventory.from_nvml()))
except UserError as error:
    print(error)
