"""A server that says what it was given, and ends."""

import ctypes
import glob
import os
import shutil
import sys
from pathlib import Path

print(Path(sys.argv[2]).read_text().strip(), end=" ")
try:
    ctypes.CDLL("libnvidia-ml.so.1")
    nvml = "NVML"
except OSError:
    nvml = "no NVML"
given = [os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "GROUPS", "MORE")]
print(*given, shutil.which("nvidia-smi") is not None, nvml, sorted(glob.glob("/dev/nvidia*")))
