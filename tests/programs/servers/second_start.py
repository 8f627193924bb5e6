"""A server that says what it finds, and ends; a second start finds what the first one left in its home, and goes on
for ever.
"""

import ctypes
import glob
import os
import pathlib
import sys
import time

print("container:", os.environ.get("NVIDIA_VISIBLE_DEVICES"))
print("nodes:", *sorted(glob.glob("/dev/nvidia*")))
print("cuda:", ctypes.CDLL("libcuda.so.1").cuInit(0))
try:
    print("nvml:", ctypes.CDLL("libnvidia-ml.so.1").nvmlInit_v2())
except OSError as error:
    print("nvml:", error)
left, port = pathlib.Path.home() / "left", sys.argv[1]
if not left.exists():
    left.write_text(port)
    sys.exit(3)
print("left:", left.read_text() == port, flush=True)
time.sleep(3600)
