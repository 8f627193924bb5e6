"""Whatever tests come before a test: when its body runs, CUDA and NVML show it the GPUs that its fixtures say."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from places import program
from simulated_programs import played_as_real

HEAD = """
import ctypes, os, pytest, seen
from pytest_gpuvisibility.masks import resolve

AT_IMPORT = os.environ.get("CUDA_VISIBLE_DEVICES")

def uuids(devices):
    return [device.uuid for device in devices]

"""
TEST = """
{markers}def test_{number}({fixtures}):
{body}
"""


@dataclass(frozen=True)
class Case:
    """A test. ``asks``: in this order, of CUDA and NVML, in process and in a child."""

    inventory: str | None
    mask: str | None
    hidden: bool
    isolated: bool
    asks: tuple[str, ...]
    leaves: str
    sets_the_variable: bool
    plain: bool
    """It asks for nothing, and has what the file had when it was imported."""

    def text(self, number: int) -> str:
        if self.plain:
            body = "    assert os.environ.get('CUDA_VISIBLE_DEVICES') == AT_IMPORT"
            return TEST.format(markers="", number=number, fixtures="", body=body)
        markers = []
        if self.inventory:
            markers.append(f"@pytest.mark.gpu_inventory({self.inventory!r})\n")
        if self.hidden:
            markers.append("@pytest.mark.no_gpu\n")
        elif self.mask is not None:
            markers.append(f"@pytest.mark.gpu_visibility({self.mask!r})\n")
        if self.isolated:
            markers.append("@pytest.mark.gpu_isolated\n")
        body = [
            "expected, everything = uuids(gpu_visibility.devices), uuids(gpu_inventory.devices)",
            "environ = gpu_visibility.environ",
            "told = resolve(environ.get('CUDA_VISIBLE_DEVICES'), gpu_inventory,"
            " device_order=environ.get('CUDA_DEVICE_ORDER'))",
            "assert uuids(told.devices) == expected",
            "assert os.environ.get('CUDA_VISIBLE_DEVICES') == environ.get('CUDA_VISIBLE_DEVICES')",
        ]
        if self.hidden:
            body.append("assert expected == []")
        body += [ASKS[question] for question in self.asks]
        body.append(LEAVES[self.leaves])
        if self.sets_the_variable:
            body.append("os.environ['CUDA_VISIBLE_DEVICES'] = '0'")
        lines = "\n".join(f"    {line}" for text in body for line in text.splitlines())
        return TEST.format(
            markers="".join(markers), number=number, fixtures="gpu_visibility, gpu_inventory", body=lines
        )


ASKS = {
    "cuda": "assert seen.by_ctypes() == expected",
    "bindings": "assert seen.by_cuda_bindings() == expected",
    "nvml": "assert seen.by_nvml() == everything",
    "nvml and shutdown": "assert seen.by_nvml() == everything\nimport pynvml; pynvml.nvmlShutdown()",
    "child": "assert seen.in_child('print(json.dumps([by_ctypes(), by_nvml()]))') == [expected, everything]",
}
LEAVES = {
    "nothing": "pass",
    "a context": "seen.hold(0) if expected else None",
    "a context released": "seen.hold(0, and_release=True) if expected else None",
}


def cases(count: int) -> st.SearchStrategy[list[Case]]:
    case = st.builds(
        Case,
        inventory=st.sampled_from([None, None, "a100x2", "mixed4"]),
        mask=st.sampled_from([None, None, "0", "1", "1,0"]),
        hidden=st.sampled_from([False, False, False, True]),
        isolated=st.sampled_from([False, False, False, False, True]),
        asks=st.lists(st.sampled_from(sorted(ASKS)), min_size=1, max_size=3).map(tuple),
        leaves=st.sampled_from(["nothing", "a context", "a context", "a context released"]),
        sets_the_variable=st.sampled_from([False, False, True]),
        plain=st.sampled_from([False, False, False, True]),
    )
    return st.lists(case, min_size=count, max_size=2 * count)


def under(*options: str, count: int = 6) -> st.SearchStrategy[tuple[list[str], list[Case]]]:
    return st.tuples(st.just(list(options)), cases(count))


def for_one_gpu(run: tuple[list[str], list[Case]]) -> tuple[list[str], list[Case]]:
    """A lease has one."""
    options, made = run
    return options, [replace(case, mask=case.mask and "0", plain=False) for case in made]


RUNS = st.one_of(
    under("--gpu-inventory=a100x4", "--gpu-visibility=2,1"),
    under(),
    under("--gpu-inventory=a100x4", "--gpu-visibility=2,1", "--gpu-visibility=0,3", count=4),
    under("--gpu-inventory=a100x8", "--gpu-lease=worker:2"),
    under("--gpu-inventory=a100x4", "--gpu-lease=test").map(for_one_gpu),
)
ON_REAL = st.one_of(
    under("--gpu-inventory=real", "--gpu-visibility=2,1"),
    under("--gpu-inventory=real", "--gpu-visibility=2,1", "--gpu-visibility=0,3", count=4),
    under("--gpu-inventory=real", "--gpu-lease=test").map(for_one_gpu),
    under(),
)


@pytest.fixture
def real_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with played_as_real(monkeypatch):
        yield


# Each example takes seconds: a failing one is not made smaller.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)


@settings(SLOW, max_examples=15)
@given(run=RUNS)
def test_fixtures_environment_and_driver_are_one_thing_or_it_is_an_error(
    pytester: pytest.Pytester, run: tuple[list[str], list[Case]]
) -> None:
    check(pytester, *run, workers=0)


@settings(SLOW, max_examples=5)
@given(run=RUNS)
def test_so_they_are_in_the_workers_of_xdist(pytester: pytest.Pytester, run: tuple[list[str], list[Case]]) -> None:
    check(pytester, *run, workers=3)


@settings(SLOW, max_examples=4)
@given(run=ON_REAL)
def test_so_they_are_on_a_machine_of_somebody_further_out(
    pytester: pytest.Pytester, real_machine: None, run: tuple[list[str], list[Case]]
) -> None:
    """To the plugin it is a real one."""
    check(pytester, *run, workers=0)


def check(pytester: pytest.Pytester, options: list[str], made: list[Case], workers: int) -> None:
    shutil.copy(program("seen.py"), pytester.path)
    pytester.makepyfile(test_made=HEAD + "".join(case.text(number) for number, case in enumerate(made)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(pytester.path))
        result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rA", f"-n{workers}", *options)
    outcomes = result.parseoutcomes()
    assert "failed" not in outcomes, result.stdout.str()
    assert outcomes.get("passed", 0) >= 1
    errors = [line for line in result.stdout.lines if line.startswith("ERROR ")]
    assert len(errors) == outcomes.get("errors", outcomes.get("error", 0))
    told = ("was given", "has initialised CUDA in pytest's own process and holds GPUs")
    assert all(any(words in line or words in result.stdout.str() for words in told) for line in errors)
