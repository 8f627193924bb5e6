"""Every GPU as nvidia-smi prints it: the form in which schedulers, Ray's dashboard and shell scripts ask."""

import csv
import json
import subprocess

COMMAND = ["nvidia-smi", "--query-gpu=uuid,pci.bus_id,name,memory.total", "--format=csv,noheader,nounits"]
listed = subprocess.run(COMMAND, capture_output=True, text=True, check=True).stdout
gpus = [
    {"uuid": uuid, "pci_bus_id": bus, "name": name, "memory": int(memory) << 20}
    for uuid, bus, name, memory in csv.reader(listed.splitlines(), skipinitialspace=True)
]
print(json.dumps({"nvml": gpus}))
