"""What NVML's witness says of processes, for pairs of masks in argv[1]: at exec, and set later."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.host import procfs
from pytest_gpuvisibility.witness import NvmlWitness, ProcessRef

PROGRAM = str(Path(__file__).with_name("masked_late.py"))

machine = Inventory.from_nvml()
masks = json.loads(sys.argv[1])
with NvmlWitness(machine) as witness:
    for at_exec, later in masks:
        environ = os.environ | ({"CUDA_VISIBLE_DEVICES": at_exec} if at_exec is not None else {})
        arguments = [f"CUDA_VISIBLE_DEVICES={later}"] if later is not None else []
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", PROGRAM, *arguments],
            env=environ,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        child.stdout.readline()
        found = procfs.stat(child.pid)
        suspect = ProcessRef(child.pid, found.start_time, procfs.environ(child.pid))
        account = witness.accounts([suspect])[child.pid]
        child.communicate()
        again = witness.accounts([suspect])[child.pid]
        print(json.dumps([account.evidence, account.touched, account.shown, again.touched == account.touched]))
