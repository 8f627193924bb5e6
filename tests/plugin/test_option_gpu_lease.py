"""``--gpu-lease`` and the fixture ``gpu_lease``, as their user sees them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from simulated_programs import played_as_real

from pytest_gpuvisibility.inventory import driver_client
from pytest_gpuvisibility.lease import LeaseOffice

INI = "[pytest]\nmarkers =\n    gpu_count(n): GPUs\n    no_gpu: none\n    gpu_inventory(name): own\n"


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini(INI)
    return pytester


def mistake(result: pytest.RunResult) -> str:
    """The message of a usage error."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "Traceback" not in result.stderr.str() + result.stdout.str()
    return result.stderr.str()


@contextmanager
def office_of_a_real_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[LeaseOffice]:
    """Runs of pytest find a machine of 4 GPUs for their own; the office is the one that they go to."""
    with played_as_real(monkeypatch) as machine:
        yield LeaseOffice(machine.inventory.devices, machine.directory / "leases")


def test_each_test_has_its_own_and_its_children_too(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1,2")
    project.makepyfile(
        """
        import os, subprocess, sys
        import pytest

        AT_IMPORT = os.environ["CUDA_VISIBLE_DEVICES"]
        SHOW = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"

        def test_one_by_default(gpu_lease):
            assert AT_IMPORT == "3,1,2"
            assert [device.index for device in gpu_lease.devices] == [3]
            assert subprocess.check_output([sys.executable, "-c", SHOW], text=True) == "3\\n"

        @pytest.mark.gpu_count(2)
        def test_two(gpu_lease, gpu_visibility):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,1"
            assert gpu_lease.devices == gpu_visibility.devices
            gpu_visibility.set("1")
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
            with pytest.raises(pytest.UsageError, match="asks for device 2"):
                gpu_visibility.set("2")

        def test_that_does_not_ask_has_one_too():
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"

        @pytest.mark.no_gpu
        def test_none():
            assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
        """
    )
    project.makeconftest(
        """
        import os

        def pytest_sessionfinish():
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,1,2"
        """
    )
    result = project.runpytest_subprocess("--gpu-lease=test", "--gpu-inventory=a100x4")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["gpu-lease: each test has its own of 3 GPUs (from --gpu-lease)"])


def test_more_than_are_permitted_skips_with_the_numbers(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.mark.gpu_count(3)
        def test_three():
            raise AssertionError
        """
    )
    result = project.runpytest_subprocess("--gpu-lease=test", "--gpu-visibility=0,1", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*3 GPUs*only 2 are permitted*"])


def test_a_test_waits_no_longer_than_it_is_told(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    project.makeini(INI + "gpu_lease_timeout = 0.1\n")
    project.makepyfile("def test_it(): pass")
    with office_of_a_real_machine(monkeypatch) as office, office.take(4, 0):
        result = project.runpytest_subprocess("--gpu-lease=test", "--gpu-inventory=real")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["--gpu-lease=test: waited 0.1 s for 1 GPU of the 4 permitted; held: GPU 0 by process *gpu_lease_timeout*"]
    )


def test_a_test_with_a_machine_of_its_own_waits_for_nobody(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makeini(INI + "gpu_lease_timeout = 0.1\n")
    project.makepyfile("import pytest\n@pytest.mark.gpu_inventory('a100x2')\ndef test_it(): pass")
    with office_of_a_real_machine(monkeypatch) as office, office.take(4, 0):
        result = project.runpytest_subprocess("--gpu-lease=test", "--gpu-inventory=real")
    result.assert_outcomes(passed=1)


def test_workers_have_equal_disjoint_shares_before_any_conftest(project: pytest.Pytester) -> None:
    project.makeconftest("import os; AT_IMPORT = os.environ['CUDA_VISIBLE_DEVICES']")
    project.makepyfile(
        """
        import os
        import pytest
        import conftest

        @pytest.mark.parametrize("number", range(6))
        def test_it(number, gpu_lease):
            share = {"gw0": "7,6", "gw1": "5,4"}[os.environ["PYTEST_XDIST_WORKER"]]
            assert conftest.AT_IMPORT == os.environ["CUDA_VISIBLE_DEVICES"] == share
            assert [str(device.index) for device in gpu_lease.devices] == share.split(",")
        """
    )
    result = project.runpytest_subprocess(
        "--gpu-lease=worker", "--gpu-visibility=7,6,5,4,3", "--gpu-inventory=a100x8", "-n2"
    )
    result.assert_outcomes(passed=6)


def test_a_killed_worker_is_replaced_and_has_the_share_again(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import os, signal
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_it(number, gpu_lease):
            assert len(gpu_lease.devices) == 1
            if number == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    result = project.runpytest_subprocess("--gpu-lease=worker", "--gpu-inventory=a100x2", "-n2")
    result.assert_outcomes(passed=3, failed=1)


def test_a_single_process_has_all_of_them(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(gpu_lease): assert len(gpu_lease.devices) == 4")
    result = project.runpytest_subprocess("--gpu-lease=worker", "--gpu-inventory=a100x4")
    result.assert_outcomes(passed=1)


def test_a_pytest_that_a_test_starts_divides_its_lease(project: pytest.Pytester) -> None:
    inner = project.mkpydir("inner")
    inner.joinpath("test_inner.py").write_text("def test_it(gpu_lease): assert len(gpu_lease.devices) == 1")
    project.makepyfile(
        """
        import subprocess, sys
        import pytest

        @pytest.mark.gpu_count(2)
        def test_it():
            command = [sys.executable, "-m", "pytest", "inner", "--gpu-lease=test", "-p", "no:cacheprovider"]
            subprocess.run(command, check=True)
        """
    )
    result = project.runpytest_subprocess("--gpu-lease=test", "--gpu-inventory=a100x2", "--ignore=inner")
    result.assert_outcomes(passed=1)


def test_workers_that_wait_in_vain_end_the_run_and_say_why(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makeini(INI + "gpu_lease_timeout = 0.1\n")
    project.makepyfile("def test_it(): pass")
    with office_of_a_real_machine(monkeypatch) as office, office.take(3, 0):
        spread = project.runpytest_subprocess("--gpu-lease=worker", "--gpu-inventory=real", "-n2")
        alone = project.runpytest_subprocess("--gpu-lease=worker", "--gpu-inventory=real")
    spread.assert_outcomes()
    spread.stdout.fnmatch_lines(["*waited 0.1 s for 2 GPUs of the 4 permitted; held: GPU 0 by process*"])
    assert "crashed" not in spread.stdout.str()
    assert "waited 0.1 s for 4 GPUs of the 4 permitted" in mistake(alone)


@pytest.mark.parametrize(("visible", "workers"), [("0,1", "-n3"), ("none", "-n0")])
def test_fewer_gpus_than_workers_is_a_usage_error(project: pytest.Pytester, visible: str, workers: str) -> None:
    project.makepyfile("def test_it(): pass")
    message = mistake(project.runpytest_subprocess("--gpu-lease=worker", f"--gpu-visibility={visible}", workers))
    if visible == "none":
        assert "no GPU is permitted for 1 worker. Use a wider --gpu-visibility, or" in message
    else:
        assert "only 2 GPUs are permitted for 3 workers. Use -n2 or fewer, a wider --gpu-visibility, or" in message


def test_each_worker_may_have_a_number_of_them(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import os
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_it(number, gpu_lease):
            share = {"gw0": [4, 3], "gw1": [2, 1]}[os.environ["PYTEST_XDIST_WORKER"]]
            assert [device.index for device in gpu_lease.devices] == share
        """
    )
    machine = ("--gpu-visibility=4,3,2,1,0", "--gpu-inventory=a100x8")
    result = project.runpytest_subprocess("--gpu-lease=worker:2", *machine, "-n2")
    result.assert_outcomes(passed=4)
    message = mistake(project.runpytest_subprocess("--gpu-lease=worker:2", *machine, "-n3"))
    assert "--gpu-lease=worker:2 gives each worker 2 GPUs of its own, but only 5 GPUs are permitted for 3" in message
    assert "Use -n2 or fewer" in message


@pytest.mark.parametrize("policy", ["worker:0", "worker:", "worker:two", "worker:-1", "test:2"])
def test_what_is_no_number_of_gpus_is_a_usage_error(project: pytest.Pytester, policy: str) -> None:
    message = mistake(project.runpytest_subprocess(f"--gpu-lease={policy}"))
    assert f"--gpu-lease={policy} is no way to lease GPUs" in message
    assert "worker:N" in message


@pytest.mark.parametrize("policy", ["test", "worker:2"])
def test_devices_that_somebody_else_uses_are_left_alone_and_told_of(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.mark.gpu_count(2)
        def test_it(gpu_lease):
            assert [device.index for device in gpu_lease.devices] == [1, 3]
        """
    )
    with office_of_a_real_machine(monkeypatch):
        holders = [hold("0"), hold("2")]
        try:
            result = project.runpytest_subprocess(f"--gpu-lease={policy}", "--gpu-inventory=real")
        finally:
            for holder in holders:
                holder.communicate()
    result.assert_outcomes(passed=1)
    told = [line for line in result.stdout.lines if "was not leased" in line]
    assert len(told) == 2
    for line, device, holder in zip(told, (0, 2), holders, strict=True):
        assert line.startswith(f"gpu-visibility: GPU {device} ")
        assert str(holder.pid) in line


def hold(device: str) -> subprocess.Popen[str]:
    """A process that has memory of a GPU, until its standard input ends."""
    holder = subprocess.Popen(
        driver_client.command("hold", "1"),
        env={**os.environ, "CUDA_VISIBLE_DEVICES": device, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    return holder


def test_without_the_option_all_visible_gpus_are_the_lease(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(gpu_lease): assert [device.index for device in gpu_lease.devices] == [1, 0]")
    for lease in ([], ["--gpu-lease=none"]):
        result = project.runpytest_subprocess("--gpu-visibility=1,0", "--gpu-inventory=a100x2", *lease)
        result.assert_outcomes(passed=1)
        result.stdout.no_fnmatch_line("gpu-lease:*")


def test_an_unknown_policy_is_a_usage_error_that_says_where_from(project: pytest.Pytester) -> None:
    assert "ERROR: --gpu-lease=tests is no way to lease GPUs. Use worker (" in mistake(
        project.runpytest_subprocess("--gpu-lease=tests")
    )
    project.makeini("[pytest]\ngpu_lease = session\n")
    assert "ERROR: gpu_lease in tox.ini = session is no way" in mistake(project.runpytest_subprocess())


@pytest.mark.parametrize("time", ["soon", "-1", "inf", "nan"])
def test_a_timeout_that_is_no_time_is_a_usage_error(project: pytest.Pytester, time: str) -> None:
    project.makeini(INI + f"gpu_lease_timeout = {time}\n")
    message = mistake(project.runpytest_subprocess("--gpu-lease=test", "--gpu-inventory=a100x2"))
    assert f"ERROR: gpu_lease_timeout = {time} is no time to wait for GPUs. Give a number of seconds" in message


def test_the_ini_key_works(project: pytest.Pytester) -> None:
    project.makeini(INI + "gpu_lease = test\ngpu_inventory = a100x2\n")
    project.makepyfile("def test_it(gpu_lease): assert len(gpu_lease.devices) == 1")
    result = project.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["gpu-lease: each test has its own of 2 GPUs (from gpu_lease in tox.ini)"])


def test_everything_is_undone_in_process(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(): pass")
    before = {name for name in os.environ if "VISIB" in name}
    for policy in ("worker", "test"):
        project.runpytest_inprocess(f"--gpu-lease={policy}", "--gpu-inventory=a100x2").assert_outcomes(passed=1)
    assert {name for name in os.environ if "VISIB" in name} == before
