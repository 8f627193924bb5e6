"""Every GPU as nvidia-ml-py, NVIDIA's own Python binding of NVML, describes it."""

import json

import pynvml

pynvml.nvmlInit()
handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
gpus = [
    {
        "uuid": pynvml.nvmlDeviceGetUUID(handle),
        "pci_bus_id": pynvml.nvmlDeviceGetPciInfo(handle).busId,
        "name": pynvml.nvmlDeviceGetName(handle),
        "memory": pynvml.nvmlDeviceGetMemoryInfo(handle).total,
    }
    for handle in handles
]
print(json.dumps({"nvml": gpus}))
