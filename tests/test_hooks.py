"""The hooks for other plugins."""

from __future__ import annotations

import pytest


def test_an_inventory_of_a_conftest_for_the_marker_and_of_a_plugin_for_the_option(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from dataclasses import replace
        from pytest_gpuvisibility import Inventory

        def pytest_gpu_inventory(name):
            if name == "our-lab":
                return replace(Inventory.load("a100x2"), name=name)
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.gpu_inventory("our-lab")
        def test_lab(gpu_machine):
            assert (gpu_machine.inventory.name, len(gpu_machine.devices)) == ("our-lab", 2)
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    pytester.syspathinsert()
    result = pytester.runpytest_subprocess("-p", "conftest", "--gpu-inventory=our-lab")
    result.stdout.fnmatch_lines(["gpu-visibility: all that the caller has*inventory our-lab (simulated)"])


def test_an_answer_of_the_wrong_kind_is_a_usage_error(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_gpu_inventory(name): return 'a100x2'")
    pytester.makepyfile("import pytest\n\n@pytest.mark.gpu_inventory('lab')\ndef test_lab(gpu_machine): pass\n")
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*The hook pytest_gpu_inventory answered 'a100x2' (str) for name='lab'; it must return an Inventory or None*"]
    )


def test_a_profile_that_is_not_there_is_a_usage_error(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_gpu_server(name): return 'nowhere.toml'")
    result = pytester.runpytest_subprocess("--gpu-server=ours")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*The hook pytest_gpu_server answered 'nowhere.toml' for name='ours', but there*"])
