"""``--gpu-visibility`` and ``--gpu-inventory``, as their user sees them."""

from __future__ import annotations

import os
import sys

import pytest

SHOW_MASK = """
    import os

    def test_mask(record_property):
        print("mask:", os.environ.get("CUDA_VISIBLE_DEVICES"))
"""


@pytest.fixture
def show_mask(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(SHOW_MASK)
    return pytester


def test_ordinals_count_within_the_callers_mask(show_mask: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    result = show_mask.runpytest_subprocess("--gpu-visibility=0,2", "--gpu-inventory=a100x8", "-s")
    result.stdout.fnmatch_lines(["*mask: 4,6*"])


def test_xdist_workers_do_not_narrow_again(show_mask: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    show_mask.makepyfile(
        """
        import os

        def test_mask():
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,6"
        """
    )
    result = show_mask.runpytest_subprocess("--gpu-visibility=0,2", "--gpu-inventory=a100x8", "-n2")
    result.assert_outcomes(passed=1)


def test_the_mask_is_there_before_any_conftest(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import os; AT_IMPORT = os.environ.get('CUDA_VISIBLE_DEVICES')")
    pytester.makepyfile("def test_it(): import conftest; assert conftest.AT_IMPORT == '1'")
    result = pytester.runpytest_subprocess("--gpu-visibility=1", "--gpu-inventory=a100x2")
    result.assert_outcomes(passed=1)


def test_the_header_says_what_and_where_from(show_mask: pytest.Pytester) -> None:
    result = show_mask.runpytest_subprocess("--gpu-visibility=0,2", "--gpu-inventory=a100x8")
    result.stdout.fnmatch_lines(
        [
            "gpu-visibility: 0,2 (from --gpu-visibility) -> GPU 0 A100 GPU-*, GPU 2 A100 GPU-*;"
            " inventory a100x8 (simulated)"
        ]
    )


def test_the_ini_key_works_and_is_named(show_mask: pytest.Pytester) -> None:
    show_mask.makeini("[pytest]\ngpu_visibility = 1\ngpu_inventory = a100x2\n")
    result = show_mask.runpytest_subprocess("-s")
    result.stdout.fnmatch_lines(["gpu-visibility: 1 (from gpu_visibility in tox.ini)*", "*mask: 1*"])


def test_nothing_is_said_and_nothing_changes_without_options(show_mask: pytest.Pytester) -> None:
    result = show_mask.runpytest_subprocess("-s")
    result.stdout.fnmatch_lines(["*mask: None*"])
    result.stdout.no_fnmatch_line("gpu-visibility:*")


@pytest.mark.parametrize(("request_", "mask"), [("all", "0,1,2,3"), ("none", ""), ("3,1", "3,1")])
def test_words_and_order(show_mask: pytest.Pytester, request_: str, mask: str) -> None:
    result = show_mask.runpytest_subprocess(f"--gpu-visibility={request_}", "--gpu-inventory=a100x4", "-s")
    result.stdout.fnmatch_lines([f"*mask: {mask}*"])


def test_a_device_that_is_not_there_is_a_usage_error(show_mask: pytest.Pytester) -> None:
    result = show_mask.runpytest_subprocess("--gpu-visibility=0,7", "--gpu-inventory=a100x4")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: --gpu-visibility=0,7 asks for device 7, but only 0-3 are there (inventory a100x4, simulated).",
            "Use ordinals 0-3, a UUID from `gpu-visibility inventories a100x4`, or a larger inventory*",
        ]
    )
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_a_device_that_is_not_permitted_is_a_usage_error(
    show_mask: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    result = show_mask.runpytest_subprocess("--gpu-visibility=2", "--gpu-inventory=a100x4")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*asks for device 2, but only 0-1 are permitted by CUDA_VISIBLE_DEVICES=2,3*"])


@pytest.mark.parametrize("bad", ["0,0", "-1", "0x1", "GPU-ffff", "\u0661", "0,,1"])
def test_what_cuda_would_read_otherwise_is_a_usage_error(show_mask: pytest.Pytester, bad: str) -> None:
    result = show_mask.runpytest_subprocess(f"--gpu-visibility={bad}", "--gpu-inventory=a100x4")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_an_unknown_inventory_is_a_usage_error(show_mask: pytest.Pytester) -> None:
    result = show_mask.runpytest_subprocess("--gpu-inventory=a100x5")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *a100x5*a100x4*"])


def test_everything_is_undone_in_process(show_mask: pytest.Pytester) -> None:
    before = dict(os.environ)
    show_mask.runpytest_inprocess("--gpu-visibility=0", "--gpu-inventory=a100x2").assert_outcomes(passed=1)
    after = dict(os.environ)
    for pytests_own in ("PYTEST_CURRENT_TEST", "PYTEST_VERSION"):
        before.pop(pytests_own, None)
        after.pop(pytests_own, None)
    assert after == before


def test_children_find_the_machine_and_only_cuda_is_masked(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import subprocess

        NVML = "import pynvml; pynvml.nvmlInit(); print(pynvml.nvmlDeviceGetCount())"
        CUDA = '''
        from cuda.bindings import driver
        driver.cuInit(0)
        count = driver.cuDeviceGetCount()[1]
        print([driver.cuDeviceGetUuid(driver.cuDeviceGet(i)[1])[1].bytes.hex() for i in range(count)])
        '''

        def run(code):
            return subprocess.check_output([{sys.executable!r}, "-c", code], text=True).strip()

        def test_nvml_ignores_the_mask():
            assert run(NVML) == "8"

        def test_cuda_keeps_to_it(gpu_inventory):
            import textwrap
            uuids = [gpu_inventory.devices[i].uuid.removeprefix("GPU-").replace("-", "") for i in (0, 2)]
            assert run(textwrap.dedent(CUDA)) == str(uuids)
        """
    )
    result = pytester.runpytest_subprocess("--gpu-visibility=0,2")
    result.assert_outcomes(passed=2)


def test_this_process_finds_the_machine_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pynvml

        def test_nvml(gpu_inventory):
            pynvml.nvmlInit()
            handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
            uuids = [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]
            assert uuids == [device.uuid for device in gpu_inventory.devices]
        """
    )
    pytester.runpytest_subprocess("--gpu-inventory=mixed4").assert_outcomes(passed=1)
