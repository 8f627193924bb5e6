"""How long PyTorch's parser and the resolver take for eight ordinals, in one process: JSON on stdout, microseconds."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable

from torch.cuda import _parse_visible_devices

from pytest_gpuvisibility import Inventory, resolve

VALUE = "0,1,2,3,4,5,6,7"
CALLS = 2_000
REPETITIONS = 101


def main() -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = VALUE
    inventory = Inventory.load("a100x8")
    subjects: dict[str, Callable[[], object]] = {
        "torch": _parse_visible_devices,
        "resolve": lambda: resolve(VALUE, inventory),
        "environment": lambda: resolve(
            os.environ.get("CUDA_VISIBLE_DEVICES"), inventory, device_order=os.environ.get("CUDA_DEVICE_ORDER")
        ),
        "tokens": lambda: resolve(VALUE, inventory).tokens,
    }
    assert _parse_visible_devices() == [unit.index for unit in resolve(VALUE, inventory).devices]
    times: dict[str, list[float]] = {name: [] for name in subjects}
    # In turns, so that whatever else the machine does falls on all of them.
    for _ in range(REPETITIONS):
        for name, call in subjects.items():
            times[name].append(_microseconds(call))
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(json.dumps({"value": VALUE, "calls": CALLS, "repetitions": REPETITIONS, "medians": medians}))


def _microseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - start) / CALLS * 1e6


if __name__ == "__main__":
    main()
