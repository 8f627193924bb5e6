"""What a simulated machine costs each start of a program that uses no CUDA, and what the other ways would cost.

    python benchmarks/preload_cost.py

CPU time of a fork and exec of /bin/true, user and system, the fastest of several rounds in which the variants take
turns. Exit code 1 where the machine's own environment costs more than LIMIT.
"""

from __future__ import annotations

import os
import resource
import sys

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.simulator import Machine, library_directory

PROGRAM = "/bin/true"
STARTS, ROUNDS = 200, 15
LIMIT = 5.0  # milliseconds
BASE = {"PATH": os.defpath}


def milliseconds(environ: dict[str, str]) -> float:
    """CPU time of one start."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(STARTS):
        os.waitpid(os.posix_spawn(PROGRAM, [PROGRAM], environ), 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / STARTS * 1e3


def variants(machine: Machine) -> dict[str, dict[str, str]]:
    here = library_directory()
    empty = f"{here}/libgpuvisibility-redirect.so"
    runtimes = f"{here}/libcudart.so.13:{here}/libcudart.so.12"
    simulated = machine.environ(BASE)
    without = {name: value for name, value in simulated.items() if name != "LD_AUDIT"}
    return {
        "outside a machine": BASE,
        "on a machine": simulated,
        "  of that LD_LIBRARY_PATH": without,
        "with LD_PRELOAD of one empty library instead": without | {"LD_PRELOAD": empty},
        "with LD_PRELOAD of libcudart.so.13 instead": without | {"LD_PRELOAD": f"{here}/libcudart.so.13"},
        "with LD_PRELOAD of both runtimes instead": without | {"LD_PRELOAD": runtimes},
    }


def main() -> int:
    with Machine.create(Inventory.load("a100x8")) as machine:
        found = variants(machine)
        fastest = dict.fromkeys(found, float("inf"))
        for _ in range(ROUNDS):
            for name, environ in found.items():
                fastest[name] = min(fastest[name], milliseconds(environ))
    plain = fastest["outside a machine"]
    for name, cost in fastest.items():
        print(f"{name:<48} {cost:6.3f} ms  {cost - plain:+6.3f} ms")
    return int(fastest["on a machine"] - plain > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
