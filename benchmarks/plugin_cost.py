"""What the plugin costs, in milliseconds: a test on a fresh machine beside an empty one, and pytest's start when idle.

``python benchmarks/plugin_cost.py [TESTS] [ROUNDS]``; the pairs take turns, and the fastest of each counts.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

TEST = "import pytest\n@pytest.mark.parametrize('number', range({count}))\ndef test_it(number{fixture}): pass\n"


def seconds(directory: Path, *arguments: str) -> float:
    began = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main(count: int = 500, rounds: int = 5) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "test_empty.py").write_text(TEST.format(count=count, fixture=""))
        (directory / "test_fresh.py").write_text(TEST.format(count=count, fixture=", gpu_machine"))
        (directory / "test_one_empty.py").write_text(TEST.format(count=1, fixture=""))
        (directory / "test_one_fresh.py").write_text(TEST.format(count=1, fixture=", gpu_machine"))
        cases = {
            "empty": ["test_empty.py"],
            "fresh": ["test_fresh.py"],
            "one empty": ["test_one_empty.py"],
            "one fresh": ["test_one_fresh.py"],
            "without": ["test_one_empty.py", "-p", "no:gpuvisibility"],
        }
        best = dict.fromkeys(cases, float("inf"))
        for _ in range(rounds):
            for case, arguments in cases.items():
                best[case] = min(best[case], seconds(directory, *arguments))
    each = {case: (best[case] - best[f"one {case}"]) / (count - 1) * 1000 for case in ("empty", "fresh")}
    print(f"an empty test                    {each['empty']:6.2f} ms")
    print(f"a test on a fresh machine        {each['fresh']:6.2f} ms  (+{each['fresh'] - each['empty']:.2f})")
    print(f"pytest's start without plugin    {best['without'] * 1000:6.0f} ms")
    print(
        f"pytest's start, plugin idle      {best['one empty'] * 1000:6.0f} ms"
        f"  ({(best['one empty'] - best['without']) * 1000:+.0f})"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
