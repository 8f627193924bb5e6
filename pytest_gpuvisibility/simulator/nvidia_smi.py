"""`nvidia-smi` of a simulated machine: what its NVML says, in the words and frames of the real program.

A program by itself: <machine>/bin/nvidia-smi runs it with `python -I -S`, so it imports little and nothing of
this package but its own folder, smi. It finds libnvidia-ml.so.1 in the directory GPU_VISIBILITY_LIBRARIES, and like
the real one it ignores CUDA_VISIBLE_DEVICES. It was compared with what nvidia-smi 515, 535, 590 and 595 printed on T4,
A100, H100, H200, L40S, RTX 2080 and RTX 3080.

Exit codes are the real ones: 0, 2 for an argument, 4 where NVML is denied, 6 where no device was found, 9 where the
driver is not loaded, 12 where there is no NVML, and for a GPU that does not answer the code of NVML's error.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable


def main() -> int:
    # Isolated, Python does not look for modules beside its program.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    program: Callable[[], int] = importlib.import_module("smi.command_line").main
    return program()


if __name__ == "__main__":
    sys.exit(main())
