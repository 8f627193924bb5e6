"""What a rule is, what its outcome says of the subject, and how a trial is opened: without pytest, on a made-up one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.host import SupervisorError
from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.profile import Unsupported
from pytest_gpuvisibility.records import LaunchRecord, MaskAnswer, MaskQuery
from pytest_gpuvisibility.reports.json_report import SCHEMA_FILE
from pytest_gpuvisibility.simulator.probe import ProbeFailed
from pytest_gpuvisibility.suite import (
    MUST,
    SHOULD,
    Basis,
    DoesNotApply,
    Family,
    Level,
    NotDeclared,
    Preparation,
    Rule,
    RuleResult,
    Trial,
    Unjudged,
    Verdict,
    Violation,
    check_globs,
    matches,
    rule,
    rule_of,
)

BINDING = Rule("VIS-001", MUST, "obeys", "", ())
ADVISED = Rule("VIS-010", SHOULD, "reads spaces", "", ())
BROKEN = Violation("takes what is not its own", ["the launch", "the proof"])


@dataclass
class MadeUp:
    """A server that is nowhere."""

    unsupported: Sequence[Unsupported] = ()
    version: str = "1.0"
    name: str = "made-up"
    family: Family = "server"
    url: str = ""
    source: str = "made-up.toml"
    inventory: str = "a100x8"
    inventory_is_chosen: bool = False
    simulated: bool = True
    hardware: Inventory | None = None
    first_step: str = ""
    preparation: Preparation = field(default_factory=Preparation)

    def machine(self, name: str) -> Inventory:
        return Inventory.load(name)

    def control(self) -> str:
        return ""

    def launches(self) -> Mapping[str, LaunchRecord]:
        return {}

    def answers(self) -> Mapping[str, MaskAnswer]:
        return {}


def trial(*unsupported: Unsupported, **options: Any) -> Trial:
    return Trial.open(MadeUp(unsupported), [BINDING, ADVISED], **options)


# What an outcome says.


def test_a_rule_that_returns_has_passed_and_tells_what_is_worth_telling() -> None:
    first, second = MaskQuery("1"), MaskQuery("2")
    result = trial().result(BINDING, None, Basis([first, second, first], ["shows 1"]))
    assert result == RuleResult(BINDING, Verdict.PASS, "", ("shows 1",), (first.key, second.key))
    assert not result.violated


def test_a_must_that_is_broken_fails_and_a_should_warns() -> None:
    failed = trial().result(BINDING, BROKEN, Basis([MaskQuery("1")], ["shows 1"]))
    assert (failed.verdict, failed.headline, failed.facts) == (
        Verdict.FAIL,
        BROKEN.headline,
        ("the launch", "the proof"),
    )
    assert (failed.scenarios, failed.known, failed.violated) == ((MaskQuery("1").key,), False, True)
    warned = trial().result(ADVISED, BROKEN, Basis())
    assert (warned.verdict, warned.headline, warned.violated) == (Verdict.WARN, BROKEN.headline, True)


def test_a_should_that_is_broken_fails_where_the_trial_is_strict_or_nobody_may_break_it_so() -> None:
    assert trial(strict=True).result(ADVISED, BROKEN, Basis()).verdict is Verdict.FAIL
    graver = Violation("takes what is not its own", level=MUST)
    assert trial().result(ADVISED, graver, Basis()).verdict is Verdict.FAIL
    assert trial().result(BINDING, Violation("is slow", level=SHOULD), Basis()).verdict is Verdict.WARN
    assert trial(certify=True).result(ADVISED, BROKEN, Basis()).verdict is Verdict.WARN


def test_a_rule_that_cannot_be_asked_says_why() -> None:
    result = trial().result(BINDING, DoesNotApply("needs 4 GPUs; a100x2 has 2"), Basis((), ["shows 1"]))
    assert (result.verdict, result.headline, result.facts) == (
        Verdict.DOES_NOT_APPLY,
        "needs 4 GPUs; a100x2 has 2",
        (),
    )
    assert not result.violated


def test_a_rule_about_what_the_profile_leaves_out_names_the_key() -> None:
    result = trial().result(BINDING, NotDeclared("[server].unload", "nobody says how a model is unloaded"), Basis())
    assert (result.verdict, result.headline, result.facts) == (
        Verdict.NOT_DECLARED,
        "nobody says how a model is unloaded ([server].unload)",
        ("[server].unload",),
    )


def test_too_little_evidence_is_neither_a_pass_nor_a_failure() -> None:
    unseen = Unjudged("saw 1 of 2 workers", ["the launch", "process 7: python"])
    assert str(unseen) == "saw 1 of 2 workers\n  the launch\n  process 7: python"
    for declaring in (trial(), trial(Unsupported("VIS-001", "cannot"))):
        result = declaring.result(BINDING, unseen, Basis([MaskQuery("1")]))
        assert (result.verdict, result.headline) == (Verdict.UNJUDGED, "saw 1 of 2 workers")
        assert (result.facts, result.scenarios) == (("the launch", "process 7: python"), (MaskQuery("1").key,))
        assert not result.violated


def test_a_rule_of_which_nobody_has_heard_is_unjudged() -> None:
    opened = trial()
    opened.results[BINDING.id] = passed = opened.result(BINDING, None, Basis())
    opened.lose([BINDING, ADVISED], "its process was killed")
    assert opened.results[BINDING.id] is passed
    lost = opened.results[ADVISED.id]
    assert (lost.verdict, lost.headline) == (Verdict.UNJUDGED, "its process was killed")


def test_what_is_no_text_travels_all_the_same() -> None:
    result = trial().result(BINDING, Violation("leaves \udcff", ["server \udce9"]), Basis())
    assert (result.headline, result.facts) == (r"leaves \udcff", (r"server \udce9",))


@pytest.mark.parametrize(
    ("error", "headline"),
    [
        (UserError("Give --x a value."), "Give --x a value."),
        (SupervisorError("it is gone"), "The harness failed, so nothing is known of the server: it is gone"),
        (ProbeFailed("no answer"), "The harness failed, so nothing is known of the server: no answer"),
        (
            OSError(28, "No space", "/tmp/x"),
            "The harness failed, so nothing is known of the server: No space (/tmp/x).",
        ),
        (ValueError("what is this"), "ValueError: what is this"),
        (AssertionError("not a violation"), "AssertionError: not a violation"),
    ],
)
def test_whatever_else_a_rule_raises_says_nothing_of_the_server(error: BaseException, headline: str) -> None:
    result = trial(Unsupported("VIS-001", "cannot")).result(BINDING, error, Basis())
    assert result.verdict is Verdict.ERROR
    assert result.headline.startswith(headline)
    assert not result.violated


def test_a_violation_is_written_with_what_proves_it() -> None:
    assert str(BROKEN) == "takes what is not its own\n  the launch\n  the proof"
    assert str(Violation("is slow")) == "is slow"


def test_verdicts_and_levels_have_the_words_of_the_reports_schema() -> None:
    rule = json.loads(SCHEMA_FILE.read_text())["properties"]["rules"]["items"]["properties"]
    assert {verdict.value for verdict in Verdict} == set(rule["verdict"]["enum"])
    assert {level.value for level in Level} == set(rule["level"]["enum"])


# What is declared.


def test_a_rule_that_is_declared_unsupported_is_not_broken() -> None:
    declaring = trial(Unsupported("VIS-010", "spaces are not read"), Unsupported("VIS-001", "somebody else reads it"))
    result = declaring.result(BINDING, BROKEN, Basis())
    assert (result.verdict, result.headline) == (Verdict.UNSUPPORTED, "somebody else reads it")
    assert result.facts == ("the launch", "the proof")
    assert not result.violated
    assert (declaring.declared("VIS-010"), trial().declared("VIS-010")) == ("spaces are not read", None)
    one = trial(Unsupported("VIS-010", "spaces are not read"))
    assert one.result(BINDING, BROKEN, Basis()).verdict is Verdict.FAIL


def test_rules_that_are_declared_and_hold_are_wrongly_declared() -> None:
    declaring = trial(Unsupported("VIS-010", "-"), Unsupported("VIS-001", "-"))
    assert declaring.wrongly_declared == []
    for each in (ADVISED, BINDING):
        declaring.results[each.id] = declaring.result(each, None, Basis())
    assert declaring.wrongly_declared == ["VIS-001", "VIS-010"]
    declaring.results["VIS-001"] = declaring.result(BINDING, BROKEN, Basis())
    assert declaring.wrongly_declared == ["VIS-010"]
    undeclared = trial()
    undeclared.results["VIS-001"] = undeclared.result(BINDING, None, Basis())
    assert undeclared.wrongly_declared == []


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (["VIS-999"], "made-up.toml: [[unsupported]] names 'VIS-999', and there is no such rule."),
        (["VIS-001", "VIS-010", "VIS-001"], "made-up.toml: [[unsupported]] names VIS-001 twice. Keep one entry."),
    ],
)
def test_only_a_rule_that_exists_can_be_declared_and_once(rules: list[str], words: str) -> None:
    with pytest.raises(UserError) as caught:
        trial(*(Unsupported(id, "-") for id in rules))
    assert words in str(caught.value)


# What is known.


def known(path: Path, *rules: str) -> str:
    path.write_text("".join(f'[[violation]]\nrule = "{id}"\nseen = "x"\n' for id in rules))
    return str(path)


def test_a_known_violation_is_marked_whatever_becomes_of_its_rule(tmp_path: Path) -> None:
    path = known(tmp_path / "known.toml", "VIS-001")
    expecting = trial(expect=path)
    assert expecting.expected_from == "known.toml"
    for outcome in (None, BROKEN, DoesNotApply("-"), Unjudged("-"), ValueError()):
        assert expecting.result(BINDING, outcome, Basis()).known
        assert not expecting.result(ADVISED, outcome, Basis()).known


def test_no_list_of_known_violations_is_taken_where_none_is_wanted_or_ships() -> None:
    assert (trial(expect="none").expected, trial(expect="none").expected_from) == ({}, "--gpu-expect=none")
    assert (trial().expected, trial().expected_from) == (
        {},
        "the list of known ones (none ships for made-up 1.0)",
    )


def test_the_list_that_ships_for_this_very_version_is_taken() -> None:
    rules = [Rule(f"{family}-{number:03}", MUST, "-", "", ()) for family in _FAMILIES for number in range(1, 20)]
    shipped = Trial.open(MadeUp(name="lmql", version="0.7.3"), rules)
    assert shipped.expected_from == "lmql-0.7.3.toml"
    assert shipped.expected["VIS-001"].issue_url == "https://github.com/eth-sri/lmql/issues/333"
    assert Trial.open(MadeUp(name="lmql", version="0.7.3"), rules, expect="none").expected == {}
    assert Trial.open(MadeUp(name="lmql", version="0.7"), rules).expected == {}


_FAMILIES = ("VIS", "IDN", "ASN", "OVR", "LIF", "CTR", "TEL")


def test_what_is_known_on_another_machine_is_not_expected_here(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_text('[[violation]]\nrule = "VIS-001"\nseen = "x"\ninventories = ["mixed4", "h100*"]\n')
    for inventory, expected in (("a100x8", False), ("mixed4", True), ("h100x8", True)):
        subject = MadeUp(inventory=inventory)
        assert ("VIS-001" in Trial.open(subject, [BINDING], expect=str(path)).expected) == expected


def test_a_trial_is_named_by_its_subject_and_begins_without_results() -> None:
    opened = trial()
    assert (opened.name, opened.results, opened.strict, opened.certify) == ("made-up 1.0", {}, False, False)
    assert opened.catalogue == (BINDING, ADVISED)
    certifying = trial(strict=True, certify=True)
    assert (certifying.strict, certifying.certify) == (True, True)


# Rules by their names.


@pytest.mark.parametrize(
    ("globs", "found"),
    [
        (["VIS-001"], True),
        (["vis-0*"], True),
        (["LIF-*", "VIS-00[12]"], True),
        (["VIS-002"], False),
        (["LIF-*"], False),
        ([], False),
    ],
)
def test_rules_are_named_by_globs_in_any_case(globs: list[str], found: bool) -> None:
    assert matches("VIS-001", globs) == found


def test_a_glob_without_a_rule_is_a_mistake() -> None:
    check_globs([], [BINDING])
    check_globs(["VIS-001", "vis-*"], [BINDING, ADVISED])
    with pytest.raises(UserError) as caught:
        check_globs(["VIS-*", "LIF-*"], [BINDING, ADVISED])
    assert str(caught.value) == (
        "--gpu-rule=LIF-* matches no rule. Rules are named like VIS-001; globs like 'VIS-*' work."
        " All of them: VIS-001, VIS-010."
    )


# What a rule is.


def test_a_rule_is_read_from_the_docstring_of_its_function() -> None:
    @rule("VIS-001", SHOULD, sources=["owner/name#1"], devices=4, inventories=["mixed4"])
    def test_it() -> None:
        """A mask is obeyed.

        Whoever counts devices
            takes other people's.
        """

    assert rule_of(test_it) == Rule(
        id="VIS-001",
        level=Level.SHOULD,
        summary="A mask is obeyed",
        explanation="Whoever counts devices\ntakes other people's.",
        sources=("owner/name#1",),
        devices=4,
        inventories=("mixed4",),
    )


def test_a_rule_needs_one_device_of_any_machine_where_it_says_no_more() -> None:
    @rule("VIS-001", MUST)
    def test_it() -> None:
        """A mask is obeyed."""

    assert rule_of(test_it) == Rule("VIS-001", MUST, "A mask is obeyed", "", ())
    assert (BINDING.devices, BINDING.inventories) == (1, ())


def test_the_statement_may_begin_on_a_line_of_its_own() -> None:
    def test_it() -> None:
        """
        A mask is obeyed.
        """

    found = rule_of(rule("VIS-001", MUST)(test_it))
    assert found is not None
    assert (found.summary, found.explanation) == ("A mask is obeyed", "")


def test_a_rule_that_nobody_can_read_is_no_rule() -> None:
    def test_it() -> None:
        pass

    with pytest.raises(TypeError, match="rule VIS-001: test_it needs a docstring that states the rule"):
        rule("VIS-001", MUST)(test_it)


def test_not_every_function_is_a_rule() -> None:
    def test_it() -> None:
        pass

    assert rule_of(test_it) is None
    assert rule_of(None) is None
    test_it.gpu_rule = "VIS-001"  # type: ignore[attr-defined]
    assert rule_of(test_it) is None
