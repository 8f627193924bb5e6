"""What both libraries answer once the machine's state is cut off where the slots of processes begin."""

import ctypes
import os

from answers import answers, show

ctypes.CDLL("libcuda.so.1").cuInit(0)
ctypes.CDLL("libnvidia-ml.so.1").nvmlInit_v2()
os.truncate(os.path.join(os.environ["GPU_VISIBILITY_MACHINE"], "state"), 49152)
show(answers())
