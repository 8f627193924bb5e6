"""``python -m pytest_gpuvisibility`` is ``gpu-visibility``."""

import sys

from .cli import main

sys.exit(main())
