"""The profile that `check --new` writes, and the schema for editors: no key is forgotten, nothing is overwritten."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from twin_runs import TWINS

from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.profile import files as profiles
from pytest_gpuvisibility.profile import schema as profile_schema
from pytest_gpuvisibility.profile import tables, template
from pytest_gpuvisibility.resources import shipped_directory

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = sorted((shipped_directory("conformance") / "servers").glob("*.toml"))


def cli(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest_gpuvisibility", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def keys_of(kind: type[Any], table: dict[str, Any], where: str) -> list[str]:
    """Keys that a class has and a table has not."""
    missing = [f"{where}.{field.name}" for field in dataclasses.fields(kind) if field.name not in table]
    return missing + [
        f"{where}.{key} (unknown)" for key in table if key not in {f.name for f in dataclasses.fields(kind)}
    ]


def test_the_template_has_every_key_that_a_profile_may_have(tmp_path: Path) -> None:
    whole = tomllib.loads(template.everything())
    server, workers, reports = whole["server"], whole["workers"], whole["reports"]
    [unsupported] = whole["unsupported"]
    lacking = [
        *keys_of(tables.Product, whole["product"], "product"),
        *keys_of(tables.Server, server, "server"),
        *keys_of(tables.Ready, server["ready"], "server.ready"),
        *keys_of(tables.Request, server["request"], "server.request"),
        *keys_of(tables.Workers, workers, "workers"),
        *keys_of(tables.ProcessPattern, workers["worker"], "workers.worker"),
        *keys_of(tables.Supports, whole["supports"], "supports"),
        *keys_of(tables.Reports, reports, "reports"),
        *keys_of(tables.Report, reports["metrics"], "reports.metrics"),
        *keys_of(tables.Unsupported, unsupported, "unsupported"),
    ]
    assert lacking == []
    assert set(server["options"]) == set(tables.OPTIONS)
    path = tmp_path / "whole.toml"
    path.write_text(template.everything())
    assert profiles.load(path).server.options["device"] == ("--gpu", "{device}")


def test_every_key_of_the_template_is_explained() -> None:
    said = dict(template.explanations())
    silent = [key for key, words in said.items() if not words]
    like_request = tuple(f"{name}." for name in profile_schema.LIKE_REQUEST)
    like_report = ("reports.workers.", "reports.memory.", "workers.balancer.")
    assert [key for key in silent if not key.startswith((*like_request, *like_report))] == ["product", "server"]


def test_defaults_that_the_template_shows_are_the_defaults(tmp_path: Path) -> None:
    """A key that is commented out stands there with its default, or with an example that is no default at all."""
    whole, given = tomllib.loads(template.everything()), tomllib.loads(template.text())
    defaults = {
        f"{where}.{field.name}": field.default
        for where, kind in (("server", tables.Server), ("supports", tables.Supports))
        for field in dataclasses.fields(kind)
        if isinstance(field.default, str | int | float) and field.default != ""
    }
    shown = {f"{where}.{key}": value for where in ("server", "supports") for key, value in whole[where].items()}
    commented = {key for key in defaults if key.partition(".")[2] not in given[key.partition(".")[0]]}
    assert commented
    assert {key: shown[key] for key in commented} == {key: defaults[key] for key in commented}


@pytest.mark.parametrize("path", [*SHIPPED, TWINS / "correct.toml"], ids=lambda path: path.stem)
def test_shipped_profiles_are_valid_by_the_schema(path: Path) -> None:
    schema = json.loads(profile_schema.SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(tomllib.loads(path.read_text()), schema)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("stop =", "sotp ="),
        ('kind = "request"', 'kind = "open"'),
        ("ready_deadline = 60.0", "ready_deadline = 0"),
        ("uuid = true", 'uuid = "yes"'),
        ("[workers.worker]", "[workers.wroker]"),
    ],
)
def test_the_schema_finds_what_the_reader_finds(tmp_path: Path, old: str, new: str) -> None:
    text = template.text()
    schema = json.loads(profile_schema.SCHEMA.read_text())
    jsonschema.validate(tomllib.loads(text), schema)
    assert old in text
    broken = text.replace(old, new)
    path = tmp_path / "broken.toml"
    path.write_text(broken)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(broken), schema)
    with pytest.raises(UserError):
        profiles.load(path)


def test_the_shipped_schema_is_that_of_the_classes() -> None:
    command = "python -m pytest_gpuvisibility.profile.schema > pytest_gpuvisibility/profile/profile.schema.json"
    assert profile_schema.SCHEMA.read_text() == profile_schema.as_text(), f"run {command}"


def test_the_schema_is_printed(tmp_path: Path) -> None:
    assert cli("servers", "--schema", cwd=tmp_path).stdout == profile_schema.as_text()


def test_a_new_profile_is_written_and_says_what_to_do(tmp_path: Path) -> None:
    run = cli("check", "--new", "fast-llm", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "gpu-visibility check ./fast-llm.toml --gpu-rule=VIS-003" in run.stdout
    profile = profiles.load(tmp_path / "fast-llm.toml")
    assert profile.product.name == "fast-llm"
    assert "my-server" not in (tmp_path / "fast-llm.toml").read_text()
    unfilled = cli("check", "./fast-llm.toml", cwd=tmp_path)
    assert unfilled.returncode in (2, 4)
    assert "'fast-llm' of fast-llm is not installed here" in unfilled.stdout + unfilled.stderr


def test_a_new_profile_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("precious")
    run = cli("check", "mine", "--new", cwd=tmp_path)
    assert run.returncode == 2
    assert "mine.toml is there already, and nothing was written" in run.stderr
    assert (tmp_path / "mine.toml").read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("lmql",), "'lmql' means something already"),
        (("driver",), "'driver' means something already"),
        (("./dir/my.toml",), "`gpu-visibility check --new my` writes my.toml"),
        (("my server",), "is no name for a server"),
        (("mine", "--gpu-rule=VIS-001"), "leave out --gpu-rule=VIS-001"),
    ],
)
def test_a_name_that_will_not_do(tmp_path: Path, arguments: tuple[str, ...], problem: str) -> None:
    run = cli("check", "--new", *arguments, cwd=tmp_path)
    assert run.returncode == 2
    assert problem in run.stderr
    assert list(tmp_path.iterdir()) == []
