"""Many processes on one simulated machine, some of them killed at any moment: does everything still add up?

    python benchmarks/stress.py --seconds 60
    python benchmarks/stress.py --seconds 60 --sanitizer address      (or thread; needs cmake and NVIDIA's headers)

Each process opens and closes contexts and memory through libcuda.so.1, and counts what it was answered in a file that
outlives it. At the end: no memory and no context is left, while the survivors still live; every line of the ledger is
a record; each process's own counts are those in the ledger, give or take the call in which it was killed; no process
hangs; no sanitizer has anything to report. Exits 0, or 1 with what is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import selectors
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pytest_gpuvisibility import Inventory, resolve
from pytest_gpuvisibility.simulator import Machine

ROOT = Path(__file__).resolve().parent.parent
INVENTORY = "a100x4"
MASKS = ("0,1,2,3", "3,1", "2", "1,0,3")
EVENTS = ("context", "alloc")
RESULTS = (0, 2, 46)
DEVICES = 4
COUNTS = struct.Struct(f"<{1 + len(EVENTS) * DEVICES * len(RESULTS)}Q")
STOP = struct.Struct("<Q")
MOST_WORKERS = 100_000
PATIENCE = 60.0
"""Seconds in which a process must have closed everything, and in which it must have ended."""


@dataclass
class Worker:
    index: int
    mask: str
    process: subprocess.Popen[bytes]
    killed: bool = False


@dataclass
class Stress:
    machine: Machine
    program: Path
    environ: dict[str, str]
    directory: Path
    threads: int
    workers: list[Worker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counts = self.directory / "counts"
        with self.counts.open("wb") as file:
            file.truncate(STOP.size + MOST_WORKERS * COUNTS.size)

    def start(self) -> Worker:
        index = len(self.workers)
        mask = MASKS[index % len(MASKS)]
        command = [str(self.program), str(self.counts), str(index), str(self.threads)]
        environ = {**self.environ, "CUDA_VISIBLE_DEVICES": mask}
        process = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.workers.append(Worker(index, mask, process))
        return self.workers[-1]

    def tell_to_stop(self) -> None:
        with self.counts.open("r+b") as file:
            file.write(STOP.pack(1))

    def answered(self, worker: Worker) -> Iterator[tuple[tuple[str, str, int], int]]:
        """What a worker itself counted, as ((event, UUID, result), how often)."""
        with self.counts.open("rb") as file:
            file.seek(STOP.size + worker.index * COUNTS.size)
            initialised, *numbers = COUNTS.unpack(file.read(COUNTS.size))
        visible = [device.uuid for device in resolve(worker.mask, self.machine.inventory).devices]
        yield ("init", "", 0), initialised
        for i, number in enumerate(numbers):
            rest, result = divmod(i, len(RESULTS))
            event, ordinal = divmod(rest, DEVICES)
            if number or ordinal < len(visible):
                yield (EVENTS[event], visible[ordinal], RESULTS[result]), number


def powers_of_two(limit: int) -> set[int]:
    return {1 << bit for bit in range(limit.bit_length())}


def wait_until_idle(workers: list[Worker]) -> list[str]:
    """What is wrong: who has not said within PATIENCE that it closed everything."""
    waiting = {worker.index for worker in workers}
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            assert worker.process.stdout
            selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        deadline = time.monotonic() + PATIENCE
        while waiting and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                selector.unregister(key.fileobj)
                if os.read(key.fd, 100) == b"idle\n":
                    waiting.discard(key.data.index)
                elif len(selector.get_map()) == 0:
                    return [f"{len(waiting)} processes ended instead of going idle"]
    return [f"{len(waiting)} processes hang or have died"] if waiting else []


def end(workers: list[Worker]) -> list[str]:
    """Ends the survivors; what is wrong: who does not end, or not well."""
    wrong = []
    for worker in workers:
        assert worker.process.stdin
        worker.process.stdin.close()
    for worker in workers:
        try:
            code = worker.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            code = "a hang"
        if code:
            wrong.append(f"process {worker.process.pid} ended with {code}")
    return wrong


def what_is_left(machine: Machine) -> list[str]:
    snapshot = machine.snapshot()
    wrong = [
        f"{device['used']} bytes left on GPU {device['index']}" for device in snapshot["devices"] if device["used"]
    ]
    return wrong + [f"process {entry['pid']} still holds {entry}" for entry in snapshot["processes"]]


def compare_counts(stress: Stress) -> tuple[list[str], int]:
    """What is wrong with the ledger, and how many calls were counted."""
    recorded: dict[int, dict[tuple[str, str, int], list[int]]] = defaultdict(lambda: defaultdict(list))
    for record in stress.machine.ledger.records():
        recorded[record.pid][record.event, record.uuid or "", record.result].append(record.count)
    wrong, calls = [], 0
    for worker in stress.workers:
        seen = recorded[worker.process.pid]
        # In a thread that was killed a call may be in the ledger and not yet counted; and where others went on
        # meanwhile, it may have its number in the order of calls and not yet be in the ledger.
        ahead = stress.threads if worker.killed else 0
        may_lack = max(ahead - 1, 0)
        for key, number in stress.answered(worker):
            calls += number
            counts = seen.pop(key, [])
            lacking = powers_of_two(number) - set(counts)
            may_lack -= len(lacking)
            surplus = set(counts) - powers_of_two(number + ahead)
            if may_lack < 0 or surplus or len(counts) != len(set(counts)):
                wrong.append(f"process {worker.process.pid} counted {number} x {key}, the ledger has {counts}")
        wrong += [f"process {worker.process.pid} never counted {key}" for key in seen]
    return wrong, calls


def run(stress: Stress, processes: int, seconds: float, kills: int, chance: random.Random) -> tuple[list[str], int]:
    """What is wrong, and how many calls were made. Ends after so many seconds or kills, whichever is first."""
    living = [stress.start() for _ in range(processes)]
    deadline = time.monotonic() + seconds
    for _ in range(kills):
        if time.monotonic() >= deadline or len(stress.workers) == MOST_WORKERS:
            break
        time.sleep(chance.random() * 0.03)
        victim = living.pop(chance.randrange(len(living)))
        victim.killed = True
        victim.process.kill()
        living.append(stress.start())
        victim.process.wait()
    if not kills:
        time.sleep(seconds)
    stress.tell_to_stop()
    wrong = wait_until_idle(living) + what_is_left(stress.machine)
    wrong += end(living)
    more, calls = compare_counts(stress)
    return wrong + more, calls


def compile_worker(directory: Path, sanitizer: str | None) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        sys.exit("no C compiler: apt install gcc")
    program = directory / "stress_worker"
    flags = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"]
    flags += [f"-fsanitize={sanitizer}"] if sanitizer else []
    source = ROOT / "benchmarks" / "stress_worker.c"
    subprocess.run([compiler, *flags, str(source), "-o", str(program), "-ldl"], check=True)
    return program


def build_libraries(directory: Path, sanitizer: str) -> Path:
    """The simulated driver under a sanitizer; the directory that holds it."""
    flags = f"-fsanitize={sanitizer} -fno-sanitize-recover=all -g -O1 -fno-omit-frame-pointer"
    build = directory / "build"
    configure = ["cmake", "-S", str(ROOT), "-B", str(build), f"-DPython3_EXECUTABLE={sys.executable}"]
    configure += ["-DGPU_VISIBILITY_DEVELOPER=ON", f"-DCMAKE_C_FLAGS={flags}", "-DCMAKE_BUILD_TYPE=Debug"]
    for command in (configure, ["cmake", "--build", str(build), "--target", "cuda"]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return build


def sanitizer_reports(directory: Path) -> list[str]:
    return [path.read_text(errors="replace")[:4000] for path in sorted(directory.glob("report.*"))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="end after this time (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=1_000_000, help="or after so many; 0: kill nobody")
    parser.add_argument("--processes", type=int, default=64, help="at any moment (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="in each process (default: %(default)s)")
    parser.add_argument("--sanitizer", choices=("address", "thread"), help="build the driver and the workers under it")
    parser.add_argument("--seed", type=int, help="of the moments at which processes are killed")
    options = parser.parse_args()
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    with tempfile.TemporaryDirectory() as name, Machine.create(Inventory.load(INVENTORY)) as machine:
        directory = Path(name)
        # The workers use no CUDA runtime, and ThreadSanitizer finds no room where there is an auditor.
        environ = machine.environ({**os.environ, "GPU_VISIBILITY_RUNTIME": "none"})
        program = compile_worker(directory, options.sanitizer)
        if options.sanitizer:
            environ["LD_LIBRARY_PATH"] = str(build_libraries(directory, options.sanitizer))
            environ["ASAN_OPTIONS"] = environ["TSAN_OPTIONS"] = f"log_path={directory}/report"
        stress = Stress(machine, program, environ, directory, options.threads)
        started = time.monotonic()
        wrong, calls = run(stress, options.processes, options.seconds, options.kills, random.Random(seed))
        wrong += sanitizer_reports(directory)
        lines = machine.ledger.path.read_bytes().count(b"\n")
    killed = sum(worker.killed for worker in stress.workers)
    facts = {
        "seconds": round(time.monotonic() - started, 1),
        "processes": len(stress.workers),
        "killed": killed,
        "calls": calls,
        "ledger_lines": lines,
        "sanitizer": options.sanitizer,
        "seed": seed,
        "system": platform.platform(),
        "wrong": wrong,
    }
    print(json.dumps(facts, indent=2))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
