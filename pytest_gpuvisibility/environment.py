"""The environment variables that mean something here: their names, how a change is undone, a mask for people."""

from __future__ import annotations

import re
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

LONGEST_MASK = 60
"""Characters of a mask that a person is shown."""
WHOLE_UUID = re.compile(r"\b([0-9a-fA-F]{8})(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")


def restore(environ: MutableMapping[str, str], before: Mapping[str, str | None]) -> None:
    """Give each variable its earlier value; None means it was not set."""
    for name, value in before.items():
        if value is None:
            environ.pop(name, None)
        else:
            environ[name] = value


def describe_mask(visible: str | None) -> str:
    """The variable as one would type it."""
    if visible is None:
        return f"{MASK} unset"
    return f"{MASK}={visible}" if visible else f'{MASK}=""'


def printable(text: str, longest: int = 200) -> str:
    """Text that somebody else chose, on one line of a terminal: control characters escaped, not too long."""
    short = text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in short)


def quoted_mask(value: str | None) -> str:
    """A mask in a table: ``unset``, or in quotes."""
    if value is None:
        return "unset"
    short = shortened_mask(value)
    return short if short.startswith("'") else f'"{short}"'


def shortened_mask(value: str) -> str:
    """A mask on one line, without most of a UUID and of a long list; quoted where it would not be seen whole."""
    value = WHOLE_UUID.sub(r"\1…", value)
    short = value if len(value) <= LONGEST_MASK else f"{value[:LONGEST_MASK]}… ({len(value)} characters)"
    return short if short and short.isprintable() and " " not in value else repr(short)
