"""What monitors read of each GPU: clocks, pages, counters."""

import json

import pynvml
from tried import tried


def about(gpu):
    memory = pynvml.nvmlDeviceGetSupportedMemoryClocks(gpu)
    graphics = pynvml.nvmlDeviceGetSupportedGraphicsClocks(gpu, memory[0])
    return {
        "memory clocks": memory[0] == pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_MEM),
        "graphics clocks": graphics[0] == pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_GRAPHICS)
        and min(graphics) > 0,
        "no such clock": tried(pynvml.nvmlDeviceGetSupportedGraphicsClocks, gpu, 1),
        "retired": tried(pynvml.nvmlDeviceGetRetiredPages, gpu, 0),
        "remapped": tried(pynvml.nvmlDeviceGetRemappedRows, gpu),
        "ecc": tried(pynvml.nvmlDeviceGetTotalEccErrors, gpu, 1, 0),
        "nvlink": tried(pynvml.nvmlDeviceGetNvLinkState, gpu, 0),
        "limits": sorted(pynvml.nvmlDeviceGetPowerManagementLimitConstraints(gpu))[0] > 0,
        "violation": tried(lambda: pynvml.nvmlDeviceGetViolationStatus(gpu, 0).violationTime),
        "utilization": tried(pynvml.nvmlDeviceGetProcessUtilization, gpu, 0),
        "board": tried(pynvml.nvmlDeviceGetBoardPartNumber, gpu) != "",
        "same board": pynvml.nvmlDeviceOnSameBoard(gpu, pynvml.nvmlDeviceGetHandleByIndex(0)),
        "near": len(pynvml.nvmlDeviceGetTopologyNearestGpus(gpu, pynvml.NVML_TOPOLOGY_NODE)),
    }


print(json.dumps([about(pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(4)]))
