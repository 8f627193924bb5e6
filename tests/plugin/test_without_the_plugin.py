"""What pytest says of the plugin, and that ``-p no:gpuvisibility`` takes all of it away."""

from __future__ import annotations

import re

import pytest

from pytest_gpuvisibility.plugin import hooks

LISTS = ("--help", "--markers", "--fixtures")
OFF = ("-p", "no:gpuvisibility")


def said(pytester: pytest.Pytester, *options: str) -> str:
    """Standard output but for the header, which lists every distribution that is installed."""
    output = pytester.runpytest_subprocess(*options).stdout.str()
    return re.sub(r"^(plugins|rootdir|configfile): .*$", "", output, flags=re.M)


@pytest.mark.parametrize("option", LISTS)
def test_nothing_is_listed(pytester: pytest.Pytester, option: str) -> None:
    assert "gpu" in said(pytester, option)
    assert "gpu" not in said(pytester, option, *OFF).lower()


def test_nothing_is_done(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    pytester.makeini("[pytest]\ngpu_visibility = 0\ngpu_inventory = a100x2\n")
    pytester.makepyfile(
        """
        import os, sys

        def test_it():
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "1,0"
            assert not [name for name in os.environ if "GPU_VISIBILITY" in name]
            assert not [name for name in sys.modules if name.startswith("pytest_gpuvisibility")]
        """
    )
    result = pytester.runpytest_subprocess(*OFF, "-Wignore::pytest.PytestConfigWarning")
    result.assert_outcomes(passed=1)
    assert "gpu-visibility" not in re.sub(r"^plugins: .*$", "", result.stdout.str(), flags=re.M)


def test_an_option_is_unknown(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess(*OFF, "--gpu-visibility=0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unrecognized arguments: --gpu-visibility=0*"])


def test_help_reads_as_pytests_own(pytester: pytest.Pytester) -> None:
    """Each option with what it takes; first a capital letter, and no full stop at the end of a phrase."""
    text = pytester.runpytest_subprocess("--help").stdout.str()
    ours = text.partition("\nGPU visibility:\n")[2].partition("\n\n")[0]
    helps = dict(re.findall(r"^  (--gpu-[a-z]+)(?:=\S+)?\s+(.*?)(?=^  -|\Z)", ours, re.S | re.M))
    assert len(helps) == 11
    for option, help in helps.items():
        assert help[0].isupper(), option
        assert not help.rstrip().endswith("."), option
        assert f"\n  {option[2:].replace('-', '_')} (" in text


def test_each_fixture_has_an_example(pytester: pytest.Pytester) -> None:
    text = pytester.runpytest_subprocess("--fixtures", "-v").stdout.str()
    for name in ("gpu_inventory", "gpu_visibility", "gpu_machine", "gpu_lease", "gpu_server"):
        section = re.search(rf"^{name}\b.*?(?=^gpu_|^---)", text, re.M | re.S)
        assert section is not None, name
        assert "Example::" in section[0], name
    shown = set(re.findall(r"^(gpu_\w+)", text, re.M))
    assert shown == {name for name in hooks.__all__ if name.startswith("gpu_")}


def test_each_marker_is_explained(pytester: pytest.Pytester) -> None:
    listed = said(pytester, "--markers")
    for marker in ("gpu_visibility(devices)", "gpu_inventory(name)", "gpu_count(n)", "no_gpu"):
        assert f"@pytest.mark.{marker}: " in listed


def test_an_idle_run_imports_little(pytester: pytest.Pytester) -> None:
    """From its start to its summary: a run that asks for nothing of the plugin pays for these modules alone."""
    pytester.makepyfile("def test_it(): pass")
    pytester.makeconftest(
        """
        import sys

        def pytest_unconfigure():
            print("\\nimported:", *sorted(name for name in sys.modules if name.startswith("pytest_gpuvisibility")))
        """
    )
    run = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    [line] = [line for line in run.stdout.lines if line.startswith("imported:")]
    plugin = ("fixtures", "hooks", "kernel_launch_report", "markers", "notes", "options", "session")
    assert line.split()[1:] == sorted(
        f"pytest_gpuvisibility{name and '.'}{name}"
        for name in (
            "",
            "environment",
            "errors",
            "hooks",
            "hooks.specs",
            "plugin",
            *(f"plugin.{name}" for name in plugin),
            "policies",
        )
    )
