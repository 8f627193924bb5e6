"""Says what a GPU has in use, or how long it took until that was nothing, as it is told line by line."""

import sys
import time

import pynvml

pynvml.nvmlInit()
gpu = pynvml.nvmlDeviceGetHandleByIndex(0)


def used():
    return pynvml.nvmlDeviceGetMemoryInfo(gpu, pynvml.nvmlMemory_v2).used


for line in sys.stdin:
    if line == "look\n":
        print(used(), flush=True)
    else:
        start = time.monotonic()
        while used():
            pass
        print(time.monotonic() - start, flush=True)
