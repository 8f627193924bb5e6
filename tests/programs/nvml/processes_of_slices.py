"""Who holds memory of a whole GPU, of one that is cut, and of its slices."""

import json

import pynvml

pynvml.nvmlInit()


def about(handle):
    return [
        [
            (p.pid, p.usedGpuMemory, p.gpuInstanceId, p.computeInstanceId)
            for p in pynvml.nvmlDeviceGetComputeRunningProcesses_v3(handle)
        ],
        pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2).used,
    ]


gpu = pynvml.nvmlDeviceGetHandleByIndex(1)
print(
    json.dumps(
        [
            about(pynvml.nvmlDeviceGetHandleByIndex(0)),
            about(gpu),
            *(about(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, index)) for index in range(2)),
        ]
    )
)
