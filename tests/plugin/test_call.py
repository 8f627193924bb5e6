"""``gpu_machine.call``: a Python function in a process of its own; and programs that must run to be judged."""

from __future__ import annotations

import shutil

import pytest
from places import program


@pytest.fixture(autouse=True)
def programs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("seen.py", "touching.py"):
        shutil.copy(program(name), pytester.path)
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))


def run(pytester: pytest.Pytester, text: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(text)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def test_a_function_of_the_test_runs_on_the_machine(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import os, pytest, seen

        OFFSET = 40
        pytestmark = pytest.mark.gpu_inventory("a100x4")

        def of_the_file(number):
            return OFFSET + number

        def test_its_value_and_what_it_touched(gpu_machine):
            def body(first, *, second):
                seen.hold(first)
                print("said")
                return seen.by_ctypes(), second, os.getpid()

            call = gpu_machine.call(body, 1, second="x", visible=[3, 1])
            uuids = [gpu_machine.devices[index].uuid for index in (3, 1)]
            assert call.value[:2] == (uuids, "x")
            assert call.value[2] != os.getpid()
            assert call.touched == {gpu_machine.devices[1]}
            assert call.stdout == "said\\n"
            assert call.permitted == (gpu_machine.devices[3], gpu_machine.devices[1])
            call.assert_touched_only()

        def test_functions_of_the_file_and_closures(gpu_machine):
            local = 2
            assert gpu_machine.call(lambda: of_the_file(local), timeout=60).value == 42
            assert gpu_machine.call(len, "four").value == 4

        def test_nothing_of_cuda_is_loaded_there_although_it_is_here(gpu_machine):
            seen.hold(0)
            assert gpu_machine.call(seen.loaded).value == set()
            assert gpu_machine.call(seen.by_ctypes, visible=2).value == [gpu_machine.devices[2].uuid]
        """,
    )
    result.assert_outcomes(passed=3)


def test_what_it_raises_is_raised_with_its_own_traceback(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest

        class OfTheTest(Exception):
            pass

        class Crooked(Exception):
            def __init__(self, one, two):
                super().__init__(one)

        def fails():
            raise OfTheTest("the words")

        def test_the_class(gpu_machine):
            with pytest.raises(OfTheTest, match="the words"):
                gpu_machine.call(fails)

        def test_shown(gpu_machine):
            gpu_machine.call(fails)

        def test_what_cannot_be_made_again(gpu_machine):
            def crooked():
                raise Crooked(1, 2)
            with pytest.raises(Exception, match="in crooked"):
                gpu_machine.call(crooked)
        """,
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["*.py*, line *, in fails", "*raise OfTheTest*", "*> *gpu_machine.call(fails)", "*OfTheTest: the words"]
    )


def test_a_process_that_ends_before_the_function_does(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import os, pytest, sys
        from pytest_gpuvisibility import ProgramFailed

        def test_ends(gpu_machine):
            def ends():
                print("last words", file=sys.stderr, flush=True)
                os._exit(3)
            with pytest.raises(ProgramFailed) as failed:
                gpu_machine.call(ends)
            assert "ends ended with exit code 3" in str(failed.value)
            assert "  last words" in str(failed.value)
            assert failed.value.run.returncode == 3

        def test_takes_too_long(gpu_machine):
            import subprocess, time
            with pytest.raises(subprocess.TimeoutExpired):
                gpu_machine.call(time.sleep, 3600, timeout=0.5)
        """,
    )
    result.assert_outcomes(passed=2)


def test_what_cannot_be_taken_there_is_said(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import threading

        def test_it(gpu_machine):
            lock = threading.Lock()
            gpu_machine.call(lambda: lock)

        def test_the_machine_itself(gpu_machine):
            gpu_machine.call(lambda: gpu_machine.devices)
        """,
    )
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "*gpu_machine.call: test_it.<locals>.<lambda> cannot be taken to another process, *",
            "*gpu_machine belongs to its test's own process*",
        ]
    )


# ---- programs must run to be judged ----


def test_a_program_that_never_ran_shows_nothing(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import subprocess, sys, pytest
        from touching import touch

        MISSING = [sys.executable, "-m", "no_such_server"]

        def test_it_raises(gpu_machine):
            gpu_machine.run(MISSING).assert_nothing_touched()

        def test_it_is_an_error_of_subprocess_too(gpu_machine):
            with pytest.raises(subprocess.CalledProcessError) as failed:
                gpu_machine.run(MISSING)
            assert failed.value.returncode == 1
            assert "no_such_server" in failed.value.stderr

        def test_nothing(gpu_machine):
            gpu_machine.run(MISSING, check=False).assert_nothing_touched()

        def test_only(gpu_machine):
            gpu_machine.run(MISSING, check=False).assert_touched_only([])

        def test_one_that_failed_after_it_had_asked_cuda(gpu_machine):
            run = gpu_machine.run(touch(9), check=False)
            assert run.returncode == 1
            run.assert_nothing_touched()
        """,
    )
    result.assert_outcomes(passed=2, failed=3)
    result.stdout.fnmatch_lines(
        [
            "*ProgramFailed: python* -m no_such_server ended with exit code 1. Where that is right, say check=False.",
            "*No module named no_such_server",
            "*ended with exit code 1 before it had initialised CUDA, so what it touched shows nothing:",
            "*No module named no_such_server",
        ]
    )


def test_comparing_what_was_touched_shows_the_table(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest
        from touching import touch

        @pytest.mark.gpu_inventory("mixed4")
        def test_it(gpu_machine):
            run = gpu_machine.run(touch(2), visible="1,2,3")
            assert run.touched == {gpu_machine.devices[1]}
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *assert touched GPU 3, expected GPU 1",
            "E *not touched: GPU 1; not expected: GPU 3",
            "E *process * GPU 0 * GPU 1 * GPU 2 * GPU 3 * CUDA_VISIBLE_DEVICES",
            'E *python * - * permitted * - * OUT OF BOUNDS * "1,2,3"',
        ]
    )


@pytest.mark.parametrize(
    "mask",
    ["1", "gpu_machine.devices[1]", "[1]", "(gpu_machine.devices[1],)", "[gpu_machine.devices[1].uuid]", "'1'"],
)
def test_a_mask_may_be_a_number_a_device_or_a_list(pytester: pytest.Pytester, mask: str) -> None:
    result = run(
        pytester,
        f"""
        import pytest
        from touching import touch

        @pytest.mark.gpu_inventory("a100x4")
        def test_it(gpu_machine, gpu_visibility):
            assert gpu_machine.run(touch(0), visible={mask}).touched == {{gpu_machine.devices[1]}}
            gpu_visibility.set({mask})
            assert gpu_visibility.devices == (gpu_machine.devices[1],)

        @pytest.mark.gpu_visibility([2, 0])
        def test_marked(gpu_visibility):
            assert [device.index for device in gpu_visibility.devices] == [2, 0]
        """,
        "--gpu-inventory=a100x8",
    )
    result.assert_outcomes(passed=2)


def test_what_is_no_mask_is_refused_in_words(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        from touching import touch

        def test_it(gpu_machine):
            gpu_machine.run(touch(0), visible=1.5)
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*UserError: *1.5*"])


def test_each_reads_as_one_line(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest
        from touching import touch

        @pytest.mark.gpu_inventory("mixed4")
        def test_it(gpu_machine, gpu_visibility):
            print()
            print(repr(gpu_machine.devices[1]))
            print(repr(gpu_machine))
            print(repr(gpu_visibility))
            print(repr(gpu_machine.run(touch(0), visible="1")))
        """,
        "-s",
    )
    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines(
        [
            r"<GPU 1 [\w ]+ GPU-\w{8}…>",
            r"<GpuMachine mixed4, 4 GPUs, .*>",
            r"<GpuVisibility <GPU \d .*>>",
            r"<GpuRun python .*: exit code 0, touched <GPU 1 .*>>",
        ]
    )


def test_the_types_of_fixtures_are_exported() -> None:
    import pytest_gpuvisibility

    for name in ("GpuMachine", "GpuRun", "GpuCall", "GpuVisibility", "GpuLease", "ProgramFailed"):
        assert name in pytest_gpuvisibility.__all__
        assert getattr(pytest_gpuvisibility, name).__name__ == name
