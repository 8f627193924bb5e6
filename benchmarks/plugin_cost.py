"""What the plugin costs: pytest's start when it is idle, a test that is given GPUs, one on a fresh machine, one in a
process of its own, and what 1,000 tests leave.

``python benchmarks/plugin_cost.py [TESTS] [ROUNDS]``, by default 1,000 tests and 40 rounds; two minutes on two cores.
The cases of a comparison take turns, so that whatever else the machine does meets all of them alike; no other plugin is
loaded. Exit code 1 where a limit is exceeded, or a file or process is left.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

START_LIMIT, PLACED_LIMIT, MACHINE_LIMIT, ISOLATED_LIMIT = 15.0, 2.0, 5.0, 150.0
"""Milliseconds, of CPU time."""
ENVIRON = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
ENVIRON.pop("PYTHONDONTWRITEBYTECODE", None)  # the plugin is compiled once, as pytest is
XDIST, OURS = ["-p", "xdist"], ["-p", "gpuvisibility"]
EMPTY = "import pytest\n@pytest.mark.parametrize('number', range({count}))\ndef test_it(number{fixture}): pass\n"
ISOLATED = EMPTY.replace("@pytest", "pytestmark = pytest.mark.gpu_isolated\n@pytest", 1).replace("{fixture}", "")
BUSY = """
import pytest, sys
TOUCH = '''
import ctypes
cuda, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p()
assert cuda.cuInit(0) == 0 and cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
'''
@pytest.mark.parametrize("number", range({count}))
def test_it(number, gpu_machine):
    if number % 20 == 0:
        assert gpu_machine.run([sys.executable, "-c", TOUCH]).touched == {{gpu_machine.devices[0]}}
    if number % 50 == 0:
        gpu_machine.run(["sh", "-c", "sleep 3600 >/dev/null 2>&1 &"])
        gpu_machine.occupy(1, 1000)
"""


def cpu_milliseconds(directory: Path, *arguments: str) -> float:
    """Of a pytest run and everything it starts. Unlike the time on the wall, others on the machine hardly change it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL, env=ENVIRON)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def compare(directory: Path, cases: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[float]]:
    """The cost of each case in each round; the order turns from round to round."""
    costs: dict[str, list[float]] = {case: [] for case in cases}
    for number in range(rounds):
        for case in list(cases) if number % 2 else reversed(list(cases)):
            costs[case].append(cpu_milliseconds(directory, *cases[case]))
    return costs


def idle_start(directory: Path, rounds: int) -> float:
    cases = {
        "pytest alone": ["test_one.py"],
        "with pytest-xdist, which comes with the plugin": ["test_one.py", *XDIST],
        "with the plugin too, idle": ["test_one.py", *XDIST, *OURS],
    }
    costs = compare(directory, cases, rounds)
    print(f"\npytest's start and one empty test, CPU ms, {rounds} rounds   least  median")
    for case, values in costs.items():
        print(f"  {case:<47}{min(values):9.1f}{statistics.median(values):8.1f}")
    _, without, idle = costs.values()
    growth = statistics.median(a - b for a, b in zip(idle, without, strict=True))
    print(f"  growth: {min(idle) - min(without):.1f} by the least, {growth:.1f} by the median of pairs")
    return growth


def given_gpus(directory: Path, count: int, rounds: int) -> tuple[float, float]:
    """What each test costs more that is given GPUs of the session's machine, and that has a fresh one."""
    session = ["--gpu-inventory=a100x4", "--gpu-visibility=2,1"]
    cases = {
        "empty": ["test_empty.py", *OURS],
        "given some of the session's GPUs": ["test_placed.py", *OURS, *session],
        "on a fresh machine": ["test_fresh.py", *OURS],
    }
    empty, *costs = (min(values) for values in compare(directory, cases, rounds).values())
    print(f"\n{count} tests, CPU ms, the least of {rounds} rounds\n  empty: {empty:.0f}")
    each = [(cost - empty) / count for cost in costs]
    for case, cost, more in zip(list(cases)[1:], costs, each, strict=True):
        print(f"  {case}: {cost:.0f}, {more:.2f} more for each test")
    return each[0], each[1]


def isolated(directory: Path, rounds: int) -> float:
    """What each further test costs in a process of its own, on the wall too."""
    few, many = 1, 21
    walls: dict[int, list[float]] = {few: [], many: []}
    costs: dict[int, list[float]] = {few: [], many: []}
    for _ in range(rounds):
        for count in (few, many):
            (directory / "test_isolated.py").write_text(ISOLATED.format(count=count))
            began = time.perf_counter()
            costs[count].append(cpu_milliseconds(directory, "test_isolated.py", *OURS))
            walls[count].append(1000 * (time.perf_counter() - began))
    each = [(min(found[many]) - min(found[few])) / (many - few) for found in (costs, walls)]
    print(f"\na test in a process of its own, the least of {rounds} rounds")
    print(f"  {each[0]:.0f} CPU ms more for each test, {each[1]:.0f} ms on the wall")
    return each[0]


def left_behind(directory: Path, count: int) -> list[str]:
    """What that many tests under pytest-xdist leave, whose programs leave processes of their own."""
    (directory / "test_busy.py").write_text(BUSY.format(count=count))
    temporary = directory / "temporary"
    temporary.mkdir()
    memory = Path("/dev/shm")
    before = set(memory.glob("gpu-visibility-*")) if memory.is_dir() else set()
    mark = f"PLUGIN_COST={os.getpid()}"
    environ = {**ENVIRON, "TMPDIR": str(temporary), **dict([mark.split("=")])}
    began = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *XDIST, *OURS, "-n4", "test_busy.py"]
    subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL, env=environ)
    files = [path for path in temporary.rglob("*") if not path.is_dir()]
    files += set(memory.glob("gpu-visibility-*")) - before if memory.is_dir() else []
    processes = [pid for pid in os.listdir("/proc") if pid.isdigit() and mark.encode() in _environ(pid)]
    print(
        f"\n{count} tests on fresh machines under pytest-xdist -n4, {time.perf_counter() - began:.0f} s;"
        f" left: {len(files)} files, {len(processes)} processes"
    )
    return [*map(str, files), *(f"process {pid}" for pid in processes)]


def _environ(pid: str) -> list[bytes]:
    try:
        return Path("/proc", pid, "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def main(count: int = 1000, rounds: int = 40) -> int:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "test_one.py").write_text("def test_it(): pass\n")
        (directory / "test_empty.py").write_text(EMPTY.format(count=count, fixture=""))
        (directory / "test_fresh.py").write_text(EMPTY.format(count=count, fixture=", gpu_machine"))
        growth = idle_start(directory, rounds)
        (directory / "test_placed.py").write_text(EMPTY.format(count=count, fixture=", gpu_visibility"))
        placed, each = given_gpus(directory, count, max(3, rounds // 8))
        alone = isolated(directory, max(3, rounds // 8))
        left = left_behind(directory, count)
    print("\n".join(left))
    over = growth >= START_LIMIT or placed >= PLACED_LIMIT or each >= MACHINE_LIMIT or alone >= ISOLATED_LIMIT
    return int(over or bool(left))


if __name__ == "__main__":
    raise SystemExit(main(*map(int, sys.argv[1:])))
