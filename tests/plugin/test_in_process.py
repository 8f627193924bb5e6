"""A pytest process on a simulated machine finds the simulated driver itself, with nothing patched, and so do its
children; on a real machine it leaves the driver alone. The real machine here is a simulated one, further out.
"""

from __future__ import annotations

import os
import shutil
import sys

import pytest
from places import program

from pytest_gpuvisibility import Inventory
from pytest_gpuvisibility.simulator import Machine


@pytest.fixture(autouse=True)
def seen(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module `seen`, with which inner tests and their children say what they find."""
    shutil.copy(program("seen.py"), pytester.path)
    # An editable installation of this package is found by a module that is imported before pytest could rewrite it.
    editable = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
    pytester.makeini(f"[pytest]\nfilterwarnings =\n    error\n    {editable}\n")
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))


def uuids(name: str, *indices: int) -> list[str]:
    devices = Inventory.load(name).devices
    return [devices[index].uuid for index in indices or range(len(devices))]


def test_a_conftest_that_uses_nvml_at_once_finds_the_machine(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import seen\nFOUND = seen.by_nvml()\n")
    pytester.makepyfile(
        f"""
        def test_found(pytestconfig):
            import conftest
            assert conftest.FOUND == {uuids("mixed4")}
        """
    )
    pytester.runpytest_subprocess("--gpu-inventory=mixed4").assert_outcomes(passed=1)


def test_a_plugin_may_import_pynvml_before_the_machine_is_chosen(pytester: pytest.Pytester) -> None:
    """The import loads nothing; nvmlInit does."""
    pytester.makepyfile(early="import pynvml, cuda.bindings.driver, seen\nLOADED = seen.loaded()\n")
    pytester.makepyfile(
        f"""
        import early, seen

        def test_found():
            assert early.LOADED == set()
            assert seen.loaded() == {{"libcuda.so.1", "libnvidia-ml.so.1"}}
            assert seen.by_nvml() == {uuids("mixed4")}
        """
    )
    pytester.runpytest_subprocess("-p", "early", "--gpu-inventory=mixed4").assert_outcomes(passed=1)


def test_the_default_machine_is_found_as_soon_as_a_fixture_asks(pytester: pytest.Pytester) -> None:
    """No option: the machine is made while tests run already, after test modules have imported their clients."""
    pytester.makepyfile(
        """
        import pynvml, seen

        def test_found(gpu_inventory):
            assert seen.by_nvml() == [device.uuid for device in gpu_inventory.devices]
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


@pytest.mark.parametrize("client", ["by_cuda_bindings", "by_ctypes"])
def test_cuda_in_the_process_obeys_the_mask(pytester: pytest.Pytester, client: str) -> None:
    pytester.makepyfile(
        f"""
        import seen

        def test_found(gpu_visibility):
            assert seen.{client}() == [device.uuid for device in gpu_visibility.devices] == {uuids("mixed4", 3, 0)}
            assert seen.by_nvml() == {uuids("mixed4")}
        """
    )
    arguments = ["--gpu-inventory=mixed4", "--gpu-visibility=2,1"]
    pytester.runpytest_subprocess(*arguments).assert_outcomes(passed=1)


def test_what_the_process_allocates_is_seen_by_others(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import ctypes, os, subprocess

        def test_held():
            cuda, context, address = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p(), ctypes.c_uint64()
            assert cuda.cuInit(0) == 0
            assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
            assert cuda.cuCtxSetCurrent(context) == 0
            assert cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(256 << 20)) == 0
            question = ["nvidia-smi", "--query-compute-apps=gpu_uuid,pid", "--format=csv,noheader"]
            listed = subprocess.check_output(question, text=True).split()
            assert listed == ["{uuids("a100x4", 2)[0]},", str(os.getpid())]
        """
    )
    arguments = ["--gpu-inventory=a100x4", "--gpu-visibility=2"]
    pytester.runpytest_subprocess(*arguments).assert_outcomes(passed=1)


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_multiprocessing_children_are_on_the_machine(pytester: pytest.Pytester, method: str) -> None:
    pytester.makepyfile(
        f"""
        import multiprocessing, seen

        def test_found():
            with multiprocessing.get_context("{method}").Pool(1) as pool:
                assert pool.apply(seen.by_ctypes) == {uuids("a100x4", 3, 1)}
                assert pool.apply(seen.by_nvml) == {uuids("a100x4")}
        """
    )
    arguments = ["--gpu-inventory=a100x4", "--gpu-visibility=3,1"]
    pytester.runpytest_subprocess(*arguments).assert_outcomes(passed=1)


def test_a_child_that_replaces_itself_is_on_the_machine(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import seen

        REPLACE = "os.execv(sys.executable, [sys.executable, os.path.abspath(sys.modules['seen'].__file__)])"

        def test_found():
            assert seen.in_child("import os; " + REPLACE) == {uuids("a100x4", 3, 1)}
        """
    )
    arguments = ["--gpu-inventory=a100x4", "--gpu-visibility=3,1"]
    pytester.runpytest_subprocess(*arguments).assert_outcomes(passed=1)


# ---- on a real machine ----

REAL = """
import os, seen

def test_real(gpu_inventory, gpu_visibility):
    assert gpu_inventory.name == "real"
    assert os.environ["GPU_VISIBILITY_MACHINE"] == {machine!r}
    assert os.environ["LD_LIBRARY_PATH"] == {libraries!r}
    assert os.environ["PATH"] == {path!r}
    assert [device.uuid for device in gpu_visibility.devices] == {visible}
    assert seen.by_nvml() == [device.uuid for device in gpu_inventory.devices] == {every}
    assert seen.by_ctypes() == {visible}
    assert seen.in_child("print(json.dumps(by_ctypes()))") == {visible}
"""


@pytest.mark.parametrize("parallel", [(), ("-n2",)], ids=["alone", "xdist"])
def test_the_drivers_of_a_real_machine_are_used_as_they_are(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, parallel: tuple[str, ...]
) -> None:
    with Machine.create(Inventory.load("a100x4")) as machine:
        environ = machine.environ(os.environ)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1,0")
        pytester.makepyfile(
            REAL.format(
                machine=str(machine.directory),
                libraries=environ["LD_LIBRARY_PATH"],
                path=environ["PATH"],
                visible=uuids("a100x4", 0, 3),
                every=uuids("a100x4"),
            )
        )
        arguments = ["--gpu-inventory=real", "--gpu-visibility=2,0", *parallel]
        pytester.runpytest_subprocess(*arguments).assert_outcomes(passed=1)


def test_a_run_on_a_simulated_machine_takes_it_for_the_real_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import seen

        def test_found(gpu_inventory):
            assert gpu_inventory.name == "real"
            assert seen.by_ctypes() == {uuids("a100x4", 0)}
        """
    )
    outer = [sys.executable, "-m", "pytest_gpuvisibility", "run", "--inventory=a100x4", "--visible=3,1,0", "--"]
    inner = [sys.executable, "-m", "pytest", "--gpu-inventory=real", "--gpu-visibility=2", "-p", "no:cacheprovider"]
    result = pytester.run(*outer, *inner)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["gpu-visibility: 2 (from --gpu-visibility) -> GPU 0 A100 *; inventory real (real)"])
    result.stderr.fnmatch_lines(['*CUDA_VISIBLE_DEVICES "0"*touched nothing'])
