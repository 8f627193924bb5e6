"""Looks for GPUs by the UUIDs and the addresses that its arguments list, and by serial number and index."""

import json
import sys

import pynvml

pynvml.nvmlInit()


def find(function, text):
    try:
        return pynvml.nvmlDeviceGetIndex(function(text))
    except pynvml.NVMLError as error:
        return f"error {error.value}"


serial = pynvml.nvmlDeviceGetSerial(pynvml.nvmlDeviceGetHandleByIndex(3))
print(
    json.dumps(
        [
            [find(pynvml.nvmlDeviceGetHandleByUUID, text) for text in json.loads(sys.argv[1])],
            [find(pynvml.nvmlDeviceGetHandleByPciBusId, text) for text in json.loads(sys.argv[2])],
            [find(pynvml.nvmlDeviceGetHandleBySerial, text) for text in (serial, "0")],
            [find(pynvml.nvmlDeviceGetHandleByIndex, index) for index in (0, 3, 4)],
        ]
    )
)
