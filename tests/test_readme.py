"""The README's examples work as they stand."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_gpuvisibility.profile import load

README = (Path(__file__).parent.parent / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)
CONSOLE = re.findall(r"```console\n(.*?)```", README, re.S)


def test_the_first_test_passes_under_the_command_beside_it(pytester: pytest.Pytester) -> None:
    [first] = [block for block in PYTHON if "def test_" in block]
    pytester.makepyfile(first)
    assert "\n$ pytest\n" in README
    assert "`pytest --gpu-visibility=0,2`" in README
    for options in ([], ["--gpu-visibility=0,2"]):
        pytester.runpytest_subprocess(*options).assert_outcomes(passed=2)


@pytest.mark.parametrize("block", [block for block in PYTHON if "def test_" not in block])
def test_the_snippets_run(block: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", block], cwd=tmp_path, check=True)


SHOWN = ("gpu-visibility resolve", "gpu-visibility run --inventory a100x4 --visible 3,1 -- nvidia-smi")


@pytest.mark.parametrize("command", SHOWN)
def test_the_output_shown_is_the_output(command: str, tmp_path: Path) -> None:
    block = next(block for block in CONSOLE if command in block)
    line, _, rest = block[block.index(f"$ {command}") :].removeprefix("$ ").partition("\n")
    shown = rest.partition("\n$ ")[0].rstrip("\n")
    words = [sys.executable, "-m", "pytest_gpuvisibility", *shlex.split(line)[1:]]
    run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.rstrip("\n") == shown


def test_every_command_and_option_named_exists(tmp_path: Path) -> None:
    helps = [
        subprocess.run(
            [sys.executable, "-m", *words, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        for words in (["pytest"], ["pytest_gpuvisibility"], ["pytest_gpuvisibility", "run"])
    ]
    for option in set(re.findall(r"--gpu-[a-z]+", README)):
        assert option in helps[0], option
    for command in set(re.findall(r"gpu-visibility ([a-z]+)\b", " ".join(CONSOLE))):
        assert command in helps[1], command


def test_the_profile_shown_is_a_profile(tmp_path: Path) -> None:
    [profile] = re.findall(r"```toml\n(.*?)```", README, re.S)
    (tmp_path / "my-server.toml").write_text(profile)
    assert load(tmp_path / "my-server.toml").product.name == "my-server"
