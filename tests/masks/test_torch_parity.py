"""Masks for which PyTorch's own tests say what driver 525.60.13 does, and the runs posted beside them: we say the same.

The cases are those of ``TestVisibleDeviceParses`` in PyTorch's test/test_cuda_nvml_based_avail.py, which came with
https://github.com/pytorch/pytorch/pull/92315 ("validate that parser and matcher behavior matches that of 525.60.13
driver"). PyTorch itself is not needed here; benchmarks/compare_resolvers.py asks it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from pytest_gpuvisibility import Inventory, resolve

UUIDS = (
    "GPU-9942190a-aa31-4ff1-4aa9-c388d80f85f1",
    "GPU-9e8d35e3-a134-0fdd-0e01-23811fdbd293",
    "GPU-e429a63e-c61c-4795-b757-5132caeb8e70",
    "GPU-eee1dfbc-0a0f-6ad8-5ff6-dc942a8b9d98",
    "GPU-bbcd6503-5150-4e92-c266-97cc4390d04e",
    "GPU-472ea263-58d7-410d-cc82-f7fdece5bd28",
    "GPU-e56257c4-947f-6a5b-7ec9-0f45567ccf4e",
    "GPU-1c20e77d-1c1a-d9ed-fe37-18b8466a78ad",
)
"""Of the eight GPUs on which the UUIDs' cases are."""

WITH_GPU_123 = ("GPU-9942190a-aa31-4ff1-4aa9-c388d80f85f1", "GPU-123b8a2e-0a0f-6ad8-5ff6-dc942a8b9d98")
POSTED = (
    "GPU-0c519389-096c-c814-8a4e-6f0a5b1f2c3d",
    "GPU-121d7c8e-5150-4e92-c266-97cc4390d04e",
    "GPU-5a88edbe-aa31-4ff1-4aa9-c388d80f85f1",
    "GPU-7d1a2244-c61c-4795-b757-5132caeb8e70",
)
"""The pull request shows only how these begin."""


@dataclass(frozen=True)
class Case:
    """A mask, the GPUs that the source says CUDA shows, by index, and what the source says about it."""

    mask: str
    shown: tuple[int, ...]
    source: str
    uuids: tuple[str, ...] = UUIDS


CASES = (
    Case("1gpu2,2ampere", (1, 2), "test_env_var_parsing: rest of the string is ignored"),
    Case("0, 1, 2, -1, 3", (0, 1, 2), "test_env_var_parsing: negatives abort parsing"),
    Case("0, 1, 2, 1", (), "test_env_var_parsing: double mention of ordinal returns empty set"),
    Case("2, +3, -0, 5", (2, 3, 0, 5), "test_env_var_parsing: unary pluses and minuses"),
    Case("one,two,3,4", (), "test_env_var_parsing: random string is used as empty set"),
    Case("4,3,two,one", (4, 3), "test_env_var_parsing: random string is used as separator"),
    Case("GPU-9e8d35e3", (1,), "test_env_var_parsing: GPU ids are parsed"),
    Case("GPU-123, 2", (1,), "test_env_var_parsing: ordinals are not included in GPUid set", WITH_GPU_123),
    Case("GPU-9e8d35e3", (1,), "test_partial_uuid_resolver"),
    Case("GPU-e4,GPU-9e8d35e3", (2, 1), "test_partial_uuid_resolver"),
    Case("GPU-9e8d35e3,GPU-1,GPU-47", (1, 7, 5), "test_partial_uuid_resolver"),
    Case("GPU-123,GPU-9e8d35e3", (), "test_partial_uuid_resolver: first invalid UUID aborts parsing"),
    Case("GPU-9e8d35e3,GPU-123,GPU-47", (1,), "test_partial_uuid_resolver: first invalid UUID aborts parsing"),
    Case("GPU-9e8d35e3,GPU-e,GPU-47", (1,), "test_partial_uuid_resolver: first ambiguous UUID aborts parsing"),
    Case("GPU-9e8d35e3,GPU-47,GPU-9e8", (), "test_partial_uuid_resolver: duplicate UUIDs result in empty set"),
    Case("1, 0", (1, 0), "test_ordinal_parse_visible_devices", UUIDS[:2]),
    Case("1, 5, 0", (1,), "test_ordinal_parse_visible_devices: ordinal out of bounds aborts parsing", UUIDS[:2]),
    Case("0,1,2,3,-1,5,6,7", (0, 1, 2, 3), "a run posted in the pull request: 4 devices"),
    Case("0,1,2,3,-1,0,6,7", (0, 1, 2, 3), "a run posted in the pull request: 4 devices"),
    Case(
        "GPU-5a88edbe,GPU-7d1a2244-,GPU-121d,GPU-0c519389-096c-c814",
        (2, 3, 1, 0),
        "a run posted in the pull request: 4 devices",
        POSTED,
    ),
)

MIG_MASK = "MIG-89c850dc"
"""test_env_var_parsing: MIG ids are parsed. What CUDA makes of it, PyTorch leaves to CUDA."""


def machine(uuids: tuple[str, ...]) -> Inventory:
    eight = Inventory.load("a100x8")
    gpus = (replace(gpu, uuid=uuid) for gpu, uuid in zip(eight.devices, uuids, strict=False))
    return replace(eight, name=f"torch-{len(uuids)}-{uuids[1][4:7]}", devices=tuple(gpus))


@pytest.mark.parametrize("case", CASES, ids=[f"{case.mask}-of-{len(case.uuids)}" for case in CASES])
def test_what_torch_holds_to_be_the_drivers_behaviour_is_ours(case: Case) -> None:
    visibility = resolve(case.mask, machine(case.uuids))
    assert tuple(unit.index for unit in visibility.devices) == case.shown, case.source


def test_the_beginning_of_a_mig_uuid_may_be_a_slice() -> None:
    cut = Inventory.load("mig").devices[1]
    slices = (replace(cut.mig[0], uuid="MIG-89c850dc-a4a5-5ea8-8a01-16b74d4fa4a3"), cut.mig[1])
    inventory = replace(Inventory.load("mig"), devices=(Inventory.load("mig").devices[0], replace(cut, mig=slices)))
    assert slices[:1] in resolve(MIG_MASK, inventory).admissible
