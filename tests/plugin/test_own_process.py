"""What the fixtures say, what the environment says and what CUDA and NVML show in the test's own process are one thing,
or the test is an error at its set-up, with the reason and the way out.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import pytest
from places import program
from simulated_programs import played_as_real

from pytest_gpuvisibility import Inventory

CUDA = ("by_ctypes", "by_cuda_bindings")
TEST = """
import pytest, seen

{marker}
def test_{name}(gpu_visibility):
    assert seen.{client} == [device.uuid for device in gpu_visibility.devices]
"""


@pytest.fixture(autouse=True)
def seen(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(program("seen.py"), pytester.path)
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))


def uuid(name: str, index: int) -> str:
    return Inventory.load(name).devices[index].uuid


def run(pytester: pytest.Pytester, text: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(text)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def comparing(client: str, markers: Sequence[str]) -> str:
    """A test for each marker, in this order, that compares what a client finds with what the fixture says."""
    return "".join(TEST.format(marker=marker, name=i, client=client) for i, marker in enumerate(markers))


INVENTORIES = ['@pytest.mark.gpu_inventory("a100x2")', '@pytest.mark.gpu_inventory("mixed4")']
MASKS = ["@pytest.mark.gpu_visibility('0')", "@pytest.mark.gpu_visibility('1,0')", "@pytest.mark.no_gpu", ""]


# ---- NVML follows ----


def test_nvml_that_nobody_shuts_down_follows_from_machine_to_machine(pytester: pytest.Pytester) -> None:
    result = run(pytester, comparing("by_nvml()", [*INVENTORIES, *INVENTORIES]))
    result.assert_outcomes(passed=4)


def test_a_handle_of_the_machine_before_means_nothing(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pynvml, pytest

        @pytest.fixture(scope="module")
        def kept():
            return []

        @pytest.mark.gpu_inventory("a100x2")
        def test_first(kept, gpu_visibility):
            pynvml.nvmlInit()
            kept.append(pynvml.nvmlDeviceGetHandleByIndex(1))
            assert pynvml.nvmlDeviceGetUUID(kept[0]) == gpu_visibility.devices[1].uuid

        @pytest.mark.gpu_inventory("mixed4")
        def test_second(kept, gpu_visibility):
            with pytest.raises(pynvml.NVMLError) as refused:
                pynvml.nvmlDeviceGetUUID(kept[0])
            assert refused.value.value in (pynvml.NVML_ERROR_INVALID_ARGUMENT, pynvml.NVML_ERROR_UNINITIALIZED)

        def test_outside(kept):
            with pytest.raises(pynvml.NVMLError) as refused:
                pynvml.nvmlDeviceGetCount()
            assert refused.value.value == pynvml.NVML_ERROR_UNINITIALIZED
        """,
    )
    result.assert_outcomes(passed=3)


# ---- CUDA follows where it holds nothing ----


@pytest.mark.parametrize("client", CUDA)
def test_cuda_that_was_only_initialised_follows(pytester: pytest.Pytester, client: str) -> None:
    result = run(pytester, comparing(f"{client}()", [*INVENTORIES, *MASKS, *INVENTORIES]), "--gpu-visibility=2,3,1")
    result.assert_outcomes(passed=8)


@pytest.mark.parametrize("client", CUDA)
def test_cuda_that_was_only_initialised_follows_from_mask_to_mask(pytester: pytest.Pytester, client: str) -> None:
    result = run(pytester, comparing(f"{client}()", ["", MASKS[0]]), "--gpu-visibility=0", "--gpu-visibility=2,3")
    result.assert_outcomes(passed=4)


def test_what_the_process_touches_is_in_the_ledger_of_the_tests_own_machine(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest, seen

        @pytest.mark.parametrize("device", range(3))
        def test_touched(gpu_machine, device):
            seen.hold(device, and_release=True)
            assert gpu_machine.touched == {gpu_machine.devices[device]}
        """,
    )
    result.assert_outcomes(passed=3)


def test_fixtures_before_the_place_find_the_gpus_of_the_test(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest, seen

        @pytest.fixture(autouse=True)
        def always(): return seen.by_ctypes(), seen.by_nvml()

        @pytest.fixture
        def asked(): return seen.by_ctypes(), seen.by_nvml()

        @pytest.mark.gpu_inventory("mixed4")
        @pytest.mark.gpu_visibility("2,0")
        def test_marked(always, asked, gpu_visibility, gpu_inventory):
            uuids = [device.uuid for device in gpu_visibility.devices]
            assert always == asked == (uuids, [device.uuid for device in gpu_inventory.devices])

        def test_repeated(always, asked, gpu_visibility):
            assert always[0] == asked[0] == [device.uuid for device in gpu_visibility.devices]
        """,
        "--gpu-visibility=1",
        "--gpu-visibility=2,3",
    )
    result.assert_outcomes(passed=3)


# ---- or the test is an error ----


def test_what_a_runtime_was_shown_stays_with_it_when_cuda_follows(pytester: pytest.Pytester) -> None:
    """Libraries over a CUDA runtime remember how many devices there were, whatever cuInit would find now."""
    result = run(
        pytester,
        """
        import pytest, seen

        on_two, on_four = pytest.mark.gpu_inventory("a100x2"), pytest.mark.gpu_inventory("mixed4")

        @on_two
        def test_asks(): assert seen.count_by_runtime() == 2
        @on_two
        def test_same_gpus_on_another_machine(): pass
        @on_four
        def test_other(): pass
        @on_two
        def test_same_gpus_again(): assert seen.count_by_runtime() == 2
        """,
        "--gpu-inventory=a100x2",
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*::test_other was given *, and CUDA in this process shows *: *::test_asks init*"])


def test_a_runtime_that_was_shown_nothing_stays_with_that(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest, seen

        on_two = pytest.mark.gpu_inventory("a100x2")

        @on_two
        def test_loads_the_driver(): pass
        def test_plain(): assert seen.count_by_runtime() == 0
        @on_two
        def test_given(): pass
        @pytest.mark.no_gpu
        @on_two
        def test_none(): assert seen.count_by_runtime() == 0
        """,
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(
        ["*::test_given was given *, and CUDA in this process shows no GPU: *::test_plain init*"]
    )


@pytest.mark.parametrize("client", CUDA)
@pytest.mark.parametrize(
    ("markers", "given"),
    [
        (['@pytest.mark.gpu_visibility("0")', '@pytest.mark.gpu_visibility("1")'], "GPU 1 A100"),
        (['@pytest.mark.gpu_visibility("0")', "@pytest.mark.no_gpu"], "no GPU"),
        (['@pytest.mark.gpu_inventory("a100x2")', '@pytest.mark.gpu_inventory("mixed4")'], "GPU 3 * of mixed4"),
    ],
)
def test_cuda_that_holds_gpus_is_told_of(
    pytester: pytest.Pytester, client: str, markers: list[str], given: str
) -> None:
    result = run(pytester, comparing(f"holding(seen.{client})", markers))
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            f"*::test_1 was given *{given}*, and CUDA in this process shows GPU 0 A100 *: *::test_0 initialised it.",
            "A process keeps the GPUs that CUDA showed it first. Give the test a process of its own,"
            " @pytest.mark.gpu_isolated or *",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*placement.py*")


def test_a_ledger_that_cannot_have_what_the_process_touches_says_so(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import seen

        def test_holds(gpu_visibility): seen.hold(0)

        def test_children(gpu_machine):
            run = gpu_machine.run(["true"])
            assert run.touched == set()

        def test_itself(gpu_machine):
            seen.hold(1)
            gpu_machine.assert_touched_only([gpu_machine.devices[2]])
        """,
        "--gpu-inventory=a100x4",
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["E * CUDA in this process is on another machine with the same GPUs, where *::test_holds init*", "E *isolated*"]
    )


def test_one_cause_is_explained_once(pytester: pytest.Pytester) -> None:
    markers = [f'@pytest.mark.gpu_visibility("{number}")' for number in range(4)]
    result = run(pytester, comparing("holding(seen.by_ctypes)", markers))
    result.assert_outcomes(passed=1, errors=3)
    assert result.stdout.str().count("A process keeps the GPUs") == 1
    assert result.stdout.str().count("As for ") == 2


def test_the_gpus_of_tests_that_ask_for_nothing_have_their_names(pytester: pytest.Pytester) -> None:
    text = "import seen\n\ndef test_plain(): seen.hold(0)\n" + comparing("by_ctypes()", INVENTORIES[1:])
    result = run(pytester, text, "--gpu-inventory=a100x4", "--gpu-visibility=2")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*CUDA in this process shows GPU 2 A100 * of a100x4: *::test_plain initialised it."])


def test_narrowing_in_the_middle_is_an_error_where_cuda_cannot_follow(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest, seen

        def test_narrowed(gpu_visibility):
            seen.by_ctypes()
            gpu_visibility.set("1")
            assert seen.by_ctypes() == [device.uuid for device in gpu_visibility.devices]
            seen.hold(0)
            gpu_visibility.set("0")
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E * was given GPU 0 A100 *, and CUDA in this process shows GPU 1 A100 *"])


def test_a_file_that_holds_gpus_when_it_is_imported_is_named(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import seen\nseen.hold(0)\n")
    result = run(pytester, comparing("by_ctypes()", MASKS[:1]), "--gpu-visibility=2,1")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*: conftest.py, when it was imported, initialised it."])


def test_whoever_leaves_gpus_to_tests_that_ask_for_nothing_is_an_error(pytester: pytest.Pytester) -> None:
    text = comparing("holding(seen.by_ctypes)", MASKS[:1]) + "\n\ndef test_plain(): pass\n\n\ndef test_other(): pass\n"
    result = run(pytester, text, "--gpu-visibility=1,2")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*::test_0 has initialised CUDA in pytest's own process and holds GPUs of its own; *"])
    result.stdout.no_fnmatch_line("*a later test*was given*")
    result.stdout.no_fnmatch_line("*During handling*")


# ---- files that change the mask ----


@pytest.mark.parametrize("where", ["conftest", "test"])
def test_a_file_that_sets_the_mask_moves_no_test_and_is_told_of_once(pytester: pytest.Pytester, where: str) -> None:
    line = 'import os\nos.environ["CUDA_VISIBLE_DEVICES"] = "0"\n'
    if where == "conftest":
        pytester.makeconftest(line)
    checks = f"""
import json, subprocess, sys, seen
{line if where == "test" else ""}
def test_plain():
    assert seen.by_ctypes() == [{uuid("a100x8", 1)!r}]

def test_fixtures(gpu_visibility, gpu_machine):
    assert [device.index for device in gpu_visibility.devices] == [1]
    assert gpu_visibility.environ["CUDA_VISIBLE_DEVICES"] == "1"
    run = gpu_machine.run([sys.executable, seen.__file__])
    assert run.permitted == (gpu_machine.devices[1],)
    assert json.loads(run.stdout) == [gpu_machine.devices[1].uuid]

def test_child():
    assert json.loads(subprocess.check_output([sys.executable, seen.__file__])) == [{uuid("a100x8", 1)!r}]
"""
    result = run(pytester, checks, "--gpu-visibility=1", "--gpu-inventory=a100x8")
    result.assert_outcomes(passed=3)
    name = (
        "conftest.py" if where == "conftest" else "test_a_file_that_sets_the_mask_moves_no_test_and_is_told_of_once.py"
    )
    told = f"gpu-visibility: {name}, when it was imported, set CUDA_VISIBLE_DEVICES=0; the tests run under"
    assert result.stdout.str().count(told) == 1


def test_a_test_may_change_the_mask_for_itself(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import os, seen

        def test_for_itself(monkeypatch, gpu_visibility):
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
            assert [device.index for device in gpu_visibility.devices] == [0]

        def test_and_forgets():
            os.environ["CUDA_VISIBLE_DEVICES"] = "0"

        def test_next(gpu_visibility):
            assert [device.index for device in gpu_visibility.devices] == [1]
        """,
        "--gpu-visibility=1",
    )
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["gpu-visibility: *::test_and_forgets set CUDA_VISIBLE_DEVICES=0; *"])
    result.stdout.no_fnmatch_line("*for_itself set*")


def test_what_was_given_is_what_was_there_before_any_file(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import os
        os.environ["CUDA_VISIBLE_DEVICES"] = "0"

        def test_given(gpu_visibility):
            assert len(gpu_visibility.devices) == 8

        def test_plain():
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
        """,
    )
    result.assert_outcomes(passed=2)


def test_a_test_that_asks_for_nothing_is_on_no_machine(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import os, pytest, seen

        def plain():
            assert "GPU_VISIBILITY_MACHINE" not in os.environ

        def test_before(): plain()
        def test_placed(gpu_visibility): assert len(seen.by_ctypes()) == len(seen.by_nvml()) == 8
        def test_after(): plain()
        @pytest.mark.gpu_inventory("mixed4")
        def test_own(): assert len(seen.by_ctypes()) == 4
        def test_last():
            plain()
            assert seen.by_ctypes() == []
        """,
    )
    result.assert_outcomes(passed=5)


@pytest.mark.parametrize("options", [(), ("--gpu-inventory=a100x8",)], ids=["unselected", "selected"])
def test_a_mask_on_a_machine_of_the_tests_own_ends_with_it(pytester: pytest.Pytester, options: Sequence[str]) -> None:
    result = run(
        pytester,
        """
        import os, pytest

        def plain():
            assert "CUDA_VISIBLE_DEVICES" not in os.environ

        @pytest.mark.gpu_inventory("mixed4")
        @pytest.mark.gpu_visibility("1")
        def test_marked(): assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
        def test_after_the_marker(): plain()

        @pytest.mark.gpu_inventory("mixed4")
        def test_narrowed(gpu_visibility): gpu_visibility.set("2")
        def test_after_the_fixture(): plain()

        @pytest.mark.no_gpu
        def test_none(gpu_machine): pass
        def test_last(): plain()
        """,
        *options,
    )
    result.assert_outcomes(passed=6)
    result.stdout.no_fnmatch_line("gpu-visibility: * set CUDA_VISIBLE_DEVICES*")


# ---- on a machine of its own driver ----


def test_a_driver_that_keeps_what_it_showed_is_told_of(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    with played_as_real(monkeypatch):
        result = run(
            pytester, comparing("by_ctypes()", ["", MASKS[0], ""]), "--gpu-inventory=real", "--gpu-visibility=2,1"
        )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["*test_1 was given GPU 2 A100 *, and CUDA in this process shows GPU 2 A100 *, GPU 1 *"]
    )


def test_a_driver_that_was_loaded_before_is_an_error_of_the_tests_concerned(pytester: pytest.Pytester) -> None:
    """Whoever has a CUDA runtime of his own in the process cannot have the simulated one too."""
    library = pytester.path / "libcudart.so.13"
    shutil.copy(program_library(), library)
    pytester.makeconftest(f"import ctypes\nctypes.CDLL({str(library)!r})\n")
    result = run(
        pytester,
        """
        import pytest

        def test_plain(): pass

        @pytest.mark.gpu_inventory("mixed4")
        def test_machine(): pass

        @pytest.mark.gpu_visibility("0")
        def test_mask(): pass

        @pytest.mark.gpu_isolated
        @pytest.mark.gpu_inventory("mixed4")
        def test_isolated(gpu_inventory): assert len(gpu_inventory.devices) == 4
        """,
    )
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["*has already loaded *libcudart.so.13, *", "*gpu_isolated*"])


def program_library() -> str:
    """Any library will do: it counts under which name it is loaded."""
    import _ctypes

    return str(_ctypes.__file__)
