"""A CUDA build of PyTorch in the test's own process: it shows the GPUs that the test was given, or the test is an error
at its set-up that says why and what to do. `tox run -e torch-cuda`.

PyTorch goes through the CUDA runtime, keeps the number of devices once it is initialised, and its context for good.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence

import pytest
from places import program
from simulated_programs import played_as_real

pytestmark = [pytest.mark.torch_cuda, pytest.mark.timeout(300)]

WAY_OUT = (
    "A process keeps the GPUs that CUDA showed it first. Give the test a process of its own,"
    " @pytest.mark.gpu_isolated or *gpu_machine.run, gpu_machine.call, *"
)
START = """
import pytest
import torch
import seen_by_torch as seen

def given(fixture):
    return [device.uuid for device in fixture.devices]
"""


@pytest.fixture(autouse=True)
def seen_by_torch(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(program("pytorch/seen_by_torch.py"), pytester.path)
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))


@pytest.fixture(params=["simulated", "real"])
def machine_option(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The option that gives a session four equal GPUs; those of a machine further out are real ones to it."""
    if request.param == "simulated":
        yield "--gpu-inventory=a100x4"
        return
    with played_as_real(monkeypatch):
        yield "--gpu-inventory=real"


def run(pytester: pytest.Pytester, text: str, *arguments: str, start: str = START) -> pytest.RunResult:
    pytester.makepyfile(start + textwrap.dedent(text))
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def assert_refused(result: pytest.RunResult, *refused: str, culprit: str) -> None:
    """Each of these tests, and no other, is an error for what `culprit` did; the way out is shown once."""
    text = result.stdout.str()
    for name in refused:
        result.stdout.fnmatch_lines(
            [f"*::{name} was given *, and CUDA in this process shows *: *{culprit} initialised*"]
        )
    assert text.count(" was given ") == len(refused)
    result.stdout.fnmatch_lines([WAY_OUT])
    assert "Traceback" not in text


# ---- several masks, and leases ----


def test_several_masks(pytester: pytest.Pytester, machine_option: str) -> None:
    result = run(
        pytester,
        """
        def test_allocates(gpu_visibility):
            assert seen.holding() == given(gpu_visibility)
            assert f"GPU-{torch.cuda.get_device_properties(0).uuid}" == gpu_visibility.devices[0].uuid
        """,
        machine_option,
        "--gpu-visibility=0",
        "--gpu-visibility=2",
        "--gpu-visibility=3,0",
    )
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["gpu-visibility: Tests that ran in a process of their own: 2; *"])


@pytest.mark.parametrize("repetition", range(10))
def test_leases_of_tests_of_unequal_length(pytester: pytest.Pytester, repetition: int) -> None:
    result = run(
        pytester,
        f"""
        import random, time

        @pytest.mark.parametrize("number", range(18))
        def test_leased(gpu_lease, number):
            kept = seen.hold()
            time.sleep(random.Random({repetition} * 18 + number).random() / 2)
            (device,) = gpu_lease.devices
            assert f"GPU-{{torch.cuda.get_device_properties(kept.device).uuid}}" == device.uuid
            assert seen.uuids() == [device.uuid]
        """,
        "--gpu-inventory=a100x4",
        "--gpu-lease=test",
        "-n3",
    )
    result.assert_outcomes(passed=18)


# ---- after a test that holds a GPU ----


def test_markers_after_a_test_that_has_allocated(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        def test_allocates(gpu_visibility):
            assert seen.holding() == given(gpu_visibility)

        @pytest.mark.gpu_visibility("1")
        def test_narrowed(gpu_visibility):
            assert seen.uuids() == given(gpu_visibility)

        @pytest.mark.no_gpu
        def test_none():
            assert not torch.cuda.is_available()

        @pytest.mark.gpu_inventory("mixed4")
        def test_elsewhere(gpu_visibility):
            assert seen.uuids() == given(gpu_visibility)

        def test_the_same(gpu_visibility):
            assert seen.holding() == given(gpu_visibility)

        @pytest.mark.gpu_isolated
        @pytest.mark.gpu_visibility("1")
        def test_isolated(gpu_visibility):
            assert seen.holding() == given(gpu_visibility)
        """,
        "--gpu-inventory=a100x4",
        "--gpu-visibility=2,0",
    )
    result.assert_outcomes(passed=3, errors=3)
    assert_refused(result, "test_narrowed", "test_none", "test_elsewhere", culprit="::test_allocates")


def test_markers_after_a_test_that_has_initialised(pytester: pytest.Pytester, machine_option: str) -> None:
    """It holds nothing; but PyTorch keeps what it was shown, and a real driver never forgets."""
    result = run(
        pytester,
        """
        def test_initialises(gpu_visibility):
            torch.cuda.init()
            assert seen.uuids() == given(gpu_visibility)

        @pytest.mark.gpu_visibility("1")
        def test_narrowed(gpu_visibility):
            assert seen.uuids() == given(gpu_visibility)

        @pytest.mark.no_gpu
        def test_none():
            assert not torch.cuda.is_available()

        @pytest.mark.gpu_inventory("mixed4")
        def test_elsewhere(gpu_visibility):
            assert seen.uuids() == given(gpu_visibility)

        def test_the_same(gpu_visibility):
            assert seen.holding() == given(gpu_visibility)

        @pytest.mark.gpu_isolated
        @pytest.mark.gpu_inventory("mixed4")
        def test_isolated(gpu_visibility):
            assert seen.holding() == given(gpu_visibility)
        """,
        machine_option,
        "--gpu-visibility=2,0",
    )
    result.assert_outcomes(passed=3, errors=3)
    assert_refused(result, "test_narrowed", "test_none", "test_elsewhere", culprit="::test_initialises")


def test_narrowing_in_the_middle(pytester: pytest.Pytester, machine_option: str) -> None:
    result = run(
        pytester,
        """
        def test_narrows_at_first(gpu_visibility):
            gpu_visibility.set("1")
            assert seen.holding() == given(gpu_visibility)
            gpu_visibility.set("0")
        """,
        machine_option,
        "--gpu-visibility=2,0",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E * was given GPU 2 A100 *, and CUDA in this process shows GPU 0 A100 *"])


# ---- what PyTorch remembers without holding anything ----


def test_a_number_of_devices_that_was_only_counted(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        on_two, on_four = pytest.mark.gpu_inventory("a100x2"), pytest.mark.gpu_inventory("mixed4")

        @on_two
        def test_counts(gpu_visibility):
            torch.cuda.init()
            assert torch.cuda.device_count() == len(gpu_visibility.devices)

        @on_two
        def test_does_not_ask(): pass

        @on_four
        def test_other(gpu_visibility):
            assert torch.cuda.device_count() == len(gpu_visibility.devices)

        @on_two
        def test_same_gpus(gpu_visibility, gpu_machine):
            assert seen.holding() == given(gpu_visibility)
            assert gpu_machine.touched == {gpu_machine.devices[0]}
        """,
        "--gpu-inventory=a100x4",
    )
    result.assert_outcomes(passed=3, errors=1)
    assert_refused(result, "test_other", culprit="::test_counts")


def test_counting_by_nvml_is_not_remembered(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        "".join(
            f"""
        @pytest.mark.gpu_inventory("{name}")
        def test_{name}(gpu_visibility):
            gpu_visibility.set("1")
            assert torch.cuda.device_count() == 1
        """
            for name in ("a100x2", "mixed4", "h100x8")
        ),
        "--gpu-inventory=a100x4",
    )
    result.assert_outcomes(passed=3)


@pytest.mark.parametrize("before", ["", "@pytest.mark.no_gpu\n@pytest.mark.gpu_inventory('a100x4')"])
def test_that_there_was_none(pytester: pytest.Pytester, before: str) -> None:
    """`is_available` has a memory of its own: a test that skips itself without GPUs would never run."""
    text = f"""
import pytest

@pytest.mark.gpu_inventory("a100x4")
def test_loads_the_driver(): pass

{before}
def test_asks():
    import torch
    assert not torch.cuda.is_available()

@pytest.mark.gpu_inventory("a100x4")
def test_given(gpu_visibility):
    import torch
    assert torch.cuda.is_available()
"""
    result = run(pytester, text, start="")
    result.assert_outcomes(passed=2, errors=1)
    assert_refused(result, "test_given", culprit="::test_asks")


# ---- imported before there was a machine ----


@pytest.mark.parametrize("where", ["conftest", "test"])
def test_torch_that_was_imported_before_a_marker_asks_for_a_machine(pytester: pytest.Pytester, where: str) -> None:
    if where == "conftest":
        pytester.makeconftest("import torch\n")
    result = run(
        pytester,
        f"""
        import pytest
        {"import torch" if where == "test" else ""}

        def test_plain(): pass

        @pytest.mark.gpu_inventory("mixed4")
        def test_machine(gpu_visibility): pass

        @pytest.mark.gpu_visibility("0")
        def test_mask(): pass

        @pytest.mark.gpu_isolated
        @pytest.mark.gpu_inventory("mixed4")
        def test_isolated(gpu_visibility):
            import seen_by_torch as seen
            assert seen.holding() == [device.uuid for device in gpu_visibility.devices]

        def test_last(): pass
        """,
        start="",
    )
    result.assert_outcomes(passed=3, errors=2)
    text = result.stdout.str()
    assert text.count("so it cannot go onto a simulated machine") == 2
    result.stdout.fnmatch_lines(
        ["This process has already loaded */libcud*, so it cannot *(@pytest.mark.gpu_isolated)*"]
    )
    assert "Traceback" not in text


def test_a_conftest_that_holds_a_gpu_is_named(pytester: pytest.Pytester, machine_option: str) -> None:
    pytester.makeconftest("import seen_by_torch\nseen_by_torch.hold()\n")
    result = run(
        pytester,
        """
        @pytest.mark.gpu_visibility("1")
        def test_narrowed(gpu_visibility):
            assert seen.uuids() == given(gpu_visibility)

        def test_the_same(gpu_visibility):
            assert seen.uuids() == given(gpu_visibility)
        """,
        machine_option,
        "--gpu-visibility=2,0",
    )
    result.assert_outcomes(passed=1, errors=1)
    assert_refused(result, "test_narrowed", culprit="conftest.py, when it was imported,")


# ---- the ways out ----


@pytest.mark.parametrize("parallel", [(), ("-n2",)], ids=["alone", "xdist"])
def test_isolated_tests_each_have_their_own(pytester: pytest.Pytester, parallel: Sequence[str]) -> None:
    result = run(
        pytester,
        """
        @pytest.mark.gpu_visibility("1")
        def test_narrowed(gpu_visibility):
            assert seen.holding() == given(gpu_visibility)

        @pytest.mark.no_gpu
        def test_none():
            assert not torch.cuda.is_available()

        @pytest.mark.gpu_inventory("mixed4")
        def test_elsewhere(gpu_visibility):
            assert seen.holding() == given(gpu_visibility)
        """,
        "--gpu-inventory=a100x4",
        "--gpu-isolate",
        *parallel,
    )
    result.assert_outcomes(passed=3)


def test_a_function_in_a_process_of_its_own(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @pytest.mark.parametrize("index", [2, 0])
        def test_called(gpu_machine, index):
            def uuids_once_held(device):
                import torch
                kept = torch.empty(1 << 20, dtype=torch.uint8, device=device)
                return [f"GPU-{torch.cuda.get_device_properties(i).uuid}" for i in range(torch.cuda.device_count())]

            call = gpu_machine.call(uuids_once_held, "cuda:1", visible=[index, 3])
            assert call.value == [gpu_machine.devices[index].uuid, gpu_machine.devices[3].uuid]
            assert call.touched == {gpu_machine.devices[3]}

        def test_raises(gpu_machine):
            def hold():
                import torch
                torch.empty(1, device="cuda:0")

            with pytest.raises(RuntimeError, match="No CUDA GPUs are available"):
                gpu_machine.call(hold, visible="")
        """,
        "--gpu-inventory=a100x4",
    )
    result.assert_outcomes(passed=3)
