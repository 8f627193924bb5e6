"""Calls every nvmlDevice... function that the library argv[1] exports and that reads, with a handle taken before and a
zeroed buffer for each of its other arguments.
"""

import ctypes
import json
import re
import sys
from pathlib import Path

import pynvml

pynvml.nvmlInit()
nvml = ctypes.CDLL("libnvidia-ml.so.1")
names = sorted(set(re.findall(rb"nvmlDevice(?:Get|Is)[A-Za-z0-9_]+", Path(sys.argv[1]).read_bytes())))
handle = pynvml.nvmlDeviceGetHandleByIndex(2)
print("ready", flush=True)
sys.stdin.readline()
NOT_OF_A_DEVICE = (
    b"nvmlDeviceGetHandleBy",
    b"nvmlDeviceGetCount",
    b"nvmlDeviceGetVgpu",
    b"nvmlDeviceGetActiveVgpus",
    b"nvmlDeviceGetSupportedVgpus",
    b"nvmlDeviceGetCreatableVgpus",
)
WANT_A_LENGTH = (b"Affinity", b"nvmlDeviceGetSupportedPerformanceStates", b"nvmlDeviceGetFieldValues")
codes = {}
for name in names:
    if name.startswith(NOT_OF_A_DEVICE) or not hasattr(nvml, name.decode()):
        continue
    if any(part in name for part in WANT_A_LENGTH):
        continue
    buffers = [ctypes.create_string_buffer(1 << 16) for _ in range(5)]
    codes[name.decode()] = nvml[name.decode()](handle, *buffers)
print(json.dumps(codes))
