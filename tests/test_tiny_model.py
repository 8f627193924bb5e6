"""The tiny GPT-2: made without a hub, the same at every run, and loaded as a real one is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch_cuda

# What a server does with a model that it serves, where nothing may be fetched.
SERVE = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = (kind.from_pretrained(sys.argv[1]) for kind in (AutoModelForCausalLM, AutoTokenizer))
tokens = tokenizer("the lazy dog", return_tensors="pt")
print(len(model.generate(**tokens, max_new_tokens=3, do_sample=False)[0]) - len(tokens["input_ids"][0]))
"""


def python(*arguments: str) -> str:
    environ = {**os.environ, "HF_HUB_OFFLINE": "1"}
    run = subprocess.run([sys.executable, *arguments], env=environ, capture_output=True, text=True, check=True)
    return run.stdout


def test_it_is_the_same_at_every_run_and_can_be_served(tmp_path: Path) -> None:
    for name in ("one", "two"):
        python("-m", "pytest_gpuvisibility.fixtures.tiny_gpt2", str(tmp_path / name))
    files = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(files)
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
    assert sum(map(len, files.values())) < 250_000
    assert python("-c", SERVE, str(tmp_path / "one")).split()[-1] == "3"
