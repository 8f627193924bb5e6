"""A file of known violations: what it may say, and what is said where it says something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.suite.expectations import Expectation, load, shipped

RULES = ("VIS-001", "VIS-002")


def written(directory: Path, text: str) -> Path:
    path = directory / "known.toml"
    path.write_text(text)
    return path


def entry(**values: str) -> str:
    return "[[violation]]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())


ONE, OTHER = (
    entry(rule='"VIS-001"', seen='"takes 0"'),
    entry(rule='"VIS-002"', seen='"takes 1"', issue_url='"https://x"'),
)


def test_each_entry_is_a_known_violation(tmp_path: Path) -> None:
    path = written(tmp_path, f'server = "lmql"\nversion = "1"\n{ONE}{OTHER}inventories = ["a100*", "mig"]\n')
    first, second = (
        Expectation("VIS-001", "takes 0", "", ()),
        Expectation("VIS-002", "takes 1", "https://x", ("a100*", "mig")),
    )
    assert load(path, RULES, "a100x8") == {"VIS-001": first, "VIS-002": second}
    assert load(path, RULES, "mixed4") == {"VIS-001": first}
    assert set(load(path, iter(["VIS-003", *reversed(RULES)]), "mig")) == set(RULES)
    assert load(written(tmp_path, ""), RULES, "a100x8") == {}


@pytest.mark.parametrize(
    ("globs", "inventory", "holds"),
    [
        ((), "a100x8", True),
        (("mig", "a100*"), "a100x8", True),
        (("a100",), "a100x8", False),
        (("A100*",), "a100x8", False),
    ],
)
def test_a_violation_holds_on_machines_by_name_or_glob(globs: tuple[str, ...], inventory: str, holds: bool) -> None:
    assert Expectation("VIS-001", "x", inventories=globs).holds_on(inventory) is holds


def test_a_rule_may_be_known_in_another_way_on_another_machine(tmp_path: Path) -> None:
    path = written(
        tmp_path, f'{ONE}inventories = ["mig"]\n{ONE.replace("takes 0", "takes 3")}inventories = ["a100x8"]\n'
    )
    assert load(path, RULES, "a100x8")["VIS-001"].seen == "takes 3"
    assert load(path, RULES, "mig")["VIS-001"].seen == "takes 0"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("violation = ", "is not valid TOML: "),
        (
            "d = 1\nc = 1\nb = 1\na = 1",
            "unknown key a, b, c, d. An expectations file has `server`, `version` and any number",
        ),
        ("violation = 'x'", "unknown key violation. An expectations file has"),
        ("[violation]\nrule = 'x'", "unknown key violation. An expectations file has"),
        ("violation = ['VIS-001']", "[[violation]] has 'VIS-001'. It needs `rule` and `seen`"),
        (entry(rule='"VIS-001"'), "[[violation]] has {'rule': 'VIS-001'}. It needs `rule` and `seen`"),
        (entry(seen='"x"'), "It needs `rule` and `seen` (what was seen)"),
        (ONE + "when = 'now'\n", "and may have `issue_url`, all text"),
        (entry(rule='"VIS-001"', seen="1"), "`issue_url`, all text, and `inventories`"),
        (ONE + "issue_url = 1\n", "`issue_url`, all text, and `inventories`"),
        (ONE + "inventories = 'mig'\n", "and `inventories`, a list of names or globs."),
        (ONE + "inventories = [1]\n", "and `inventories`, a list of names or globs."),
        (ONE.replace("VIS-001", "VIS-999"), "there is no rule 'VIS-999'. `gpu-visibility rules` lists them"),
        (
            ONE.replace("VIS-001", "VIS-999") + 'inventories = ["mig"]\n',
            "there is no rule 'VIS-999'. `gpu-visibility rules` lists them",
        ),
        (ONE + ONE, "rule VIS-001 is listed twice for a100x8. Keep one entry"),
        (ONE + OTHER + ONE, "rule VIS-001 is listed twice for a100x8. Keep one entry"),
    ],
)
def test_what_the_file_must_not_say(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UserError) as caught:
        load(path, RULES, "a100x8")
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"Cannot read the expectations file .*: Is a directory\. Give --gpu-expect a TOML"
    ):
        load(tmp_path, RULES, "a100x8")


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_bytes(ONE.replace("takes 0", "nimmt die größte").encode("latin-1"))
    with pytest.raises(UserError, match=r"known\.toml is not valid TOML: 'utf-8' codec can't decode"):
        load(path, RULES, "a100x8")


def test_a_list_ships_for_one_version_of_one_server() -> None:
    path = shipped("lmql", "0.7.3")
    assert path is not None
    assert (path.name, path.is_file()) == ("lmql-0.7.3.toml", True)
    assert shipped("lmql", "0.7.4") is None
    assert shipped("lmqk", "0.7.3") is None
