"""The environment variables that mean something here, and how a change of the environment is undone."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

MASK = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"
MASKS = (MASK, ORDER)
"""What CUDA reads to decide which devices it shows, and in which order."""
CONTAINER_MASK = "NVIDIA_VISIBLE_DEVICES"
"""What container runtimes read, and CUDA does not."""

MACHINE_VARIABLE = "GPU_VISIBILITY_MACHINE"
"""The directory of the simulated machine that a program is on."""
PROBE_VARIABLE = "GPU_VISIBILITY_PROBE"
"""Set for questions about a machine that are no use of it: nothing of them is in the ledger."""
RUN_VARIABLE = "GPU_VISIBILITY_RUN"
"""The id of its run, which every process of a server carries."""
LIBRARIES_VARIABLE = "GPU_VISIBILITY_LIBRARIES"
"""Where nvidia-smi of a simulated machine finds the simulated driver."""
RUNTIME_VARIABLE = "GPU_VISIBILITY_RUNTIME"
"""How programs are led to the simulated CUDA runtimes."""
OURS = "GPU_VISIBILITY_"
"""How the names of our own variables begin."""

OUTER = "PYTEST_GPU_VISIBILITY_OUTER"
"""Set while a pytest session's machine and mask are in force, to "real" or "simulated" and, after a blank, the caller's
own mask if it had one: a pytest-xdist worker, which inherits the narrowed mask, does not narrow it again."""
LEASE_SCOPE = "PYTEST_GPU_VISIBILITY_LEASE"
"""Set while a lease is in force: whoever inherits the environment divides that lease, and does not wait for it."""
LEASE_CONTROLLER = "PYTEST_GPU_VISIBILITY_CONTROLLER"
"""The process whose children, as pytest-xdist workers, share its devices."""
XDIST_WORKER = "PYTEST_XDIST_WORKER"
XDIST_WORKER_COUNT = "PYTEST_XDIST_WORKER_COUNT"


def restore(environ: MutableMapping[str, str], before: Mapping[str, str | None]) -> None:
    """Give each variable its earlier value; None means it was not set."""
    for name, value in before.items():
        if value is None:
            environ.pop(name, None)
        else:
            environ[name] = value
