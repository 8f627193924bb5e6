"""Lists every GPU, and then asks what its argument names: what decisions rest on."""

import sys

import pynvml

pynvml.nvmlInit()
handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
for handle in handles:
    pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle), pynvml.nvmlDeviceGetPciInfo(handle)
match sys.argv[1]:
    case "memory":
        for _ in range(1000):
            pynvml.nvmlDeviceGetMemoryInfo(handles[2])
    case "peers":
        pynvml.nvmlDeviceGetP2PStatus(handles[1], handles[3], pynvml.NVML_P2P_CAPS_INDEX_NVLINK)
    case "processors":
        pynvml.nvmlDeviceGetCpuAffinity(handles[0], 2)
    case question:
        assert question == "nothing"
