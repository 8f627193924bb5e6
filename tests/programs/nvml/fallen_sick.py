"""What a GPU that falls sick answers for a handle taken before, and a healthy one beside it."""

import json
import sys

import pynvml

pynvml.nvmlInit()
sick, healthy = pynvml.nvmlDeviceGetHandleByIndex(2), pynvml.nvmlDeviceGetHandleByIndex(1)
uuid = pynvml.nvmlDeviceGetUUID(sick)
print("ready", flush=True)
sys.stdin.readline()


def outcome(function, *arguments):
    try:
        function(*arguments)
    except pynvml.NVMLError as error:
        return error.value
    return 0


calls = [
    pynvml.nvmlDeviceGetName,
    pynvml.nvmlDeviceGetUUID,
    pynvml.nvmlDeviceGetMemoryInfo,
    pynvml.nvmlDeviceGetComputeRunningProcesses,
    pynvml.nvmlDeviceGetTemperature,
    pynvml.nvmlDeviceGetUtilizationRates,
    pynvml.nvmlDeviceGetPciInfo,
    pynvml.nvmlDeviceGetFanSpeed,
]
arguments = {pynvml.nvmlDeviceGetTemperature: [0]}
print(
    json.dumps(
        {
            "held": [outcome(call, sick, *arguments.get(call, [])) for call in calls],
            "found": [outcome(pynvml.nvmlDeviceGetHandleByIndex, 2), outcome(pynvml.nvmlDeviceGetHandleByUUID, uuid)],
            "healthy": [outcome(call, healthy, *arguments.get(call, [])) for call in calls[:-1]],
            "count": pynvml.nvmlDeviceGetCount(),
        }
    )
)
