"""Servers that are shaped otherwise than the twins: what was not seen of them is not judged, and what was is right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pytest_gpuvisibility.conformance import functions
from pytest_gpuvisibility.conformance.arguments import judge

from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.resources import shipped_directory
from pytest_gpuvisibility.suite import RuleResult, ServerSubject, Trial, Verdict, open_server, rule_of

SHAPES = shipped_directory("fixtures") / "shapes"
BY_ID = {rule.id: function for function in functions("server") if (rule := rule_of(function)) is not None}


def subject_of(shape: str, directory: Path, inventory: str = "", **replacements: str) -> ServerSubject:
    text = (SHAPES / f"{shape}.toml").read_text().replace("{here}", str(SHAPES))
    for old, new in replacements.items():
        assert old in text
        text = text.replace(old, new)
    path = directory / f"{shape}.toml"
    path.write_text(text)
    session = directory / "session"
    session.mkdir()
    return open_server(str(path), inventory, session, version="1.0")


def results(subject: ServerSubject, *rules: str) -> dict[str, RuleResult]:
    """As the suite asks them: after the first launch, one after the other."""
    subject.control()
    return results_without_control(subject, *rules)


def results_without_control(subject: ServerSubject, *rules: str) -> dict[str, RuleResult]:
    found = {}
    for id in rules:
        rule = rule_of(BY_ID[id])
        assert rule is not None
        found[id] = judge(Trial.open(subject, [rule]), BY_ID[id])
    return found


def verdicts(subject: ServerSubject, *rules: str) -> dict[str, str]:
    return {id: result.verdict.value for id, result in results(subject, *rules).items()}


SHORT = {"ready_deadline = 15.0": "ready_deadline = 2.0"}


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("nobody", "saw 0 of 2 workers; [workers].worker tells them by argv."),
        ("late-pool", "saw 1 of 2 workers; [workers].worker tells them by touched."),
    ],
)
def test_where_workers_are_not_seen_nothing_is_judged(tmp_path: Path, shape: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        subject_of(shape, tmp_path, **SHORT).control()
    assert words in str(caught.value)
    assert f"launcher, touched nothing: python -I server.py {shape} " in str(caught.value)


def test_a_number_that_is_no_group_is_the_profiles_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        subject_of("ones", tmp_path, **SHORT, **{"first_group = 1": ""}).control()
    assert "the profile numbers a worker that is in no group: process " in str(caught.value)
    assert ": group 2; groups are 0 to 1 ([workers].first_group = 0)" in str(caught.value)


@pytest.mark.parametrize("shape", ["door", "pool"])
def test_workers_that_come_late_or_when_asked_are_waited_for(tmp_path: Path, shape: str) -> None:
    found = verdicts(subject_of(shape, tmp_path), "VIS-001", "VIS-002", "VIS-003", "ASN-004", "VIS-004", "OVR-001")
    assert set(found.values()) == {"pass"}


def test_a_worker_that_is_missing_in_one_launch_is_told_with_what_was_seen(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text((SHAPES / "server.py").read_text().replace("LATE = 1.5", "LATE = 60"))
    subject = subject_of("door", tmp_path, **SHORT, **{str(SHAPES): str(tmp_path)})
    result = results_without_control(subject, "VIS-003")["VIS-003"]
    assert (result.verdict, result.headline.partition(";")[0]) == (Verdict.UNJUDGED, "saw 1 of 2 workers")
    assert result.facts[0] == "CUDA_VISIBLE_DEVICES unset, 2 groups of 1"
    assert "worker 0 (by touched), touched 0: python -I -S server.py door-worker" in result.facts[1]


def test_a_server_that_says_it_is_ready_while_it_ends_has_ended(tmp_path: Path) -> None:
    found = results(subject_of("brief", tmp_path), "VIS-003", "VIS-004", "OVR-005")
    assert found["VIS-003"].verdict is Verdict.PASS
    assert found["OVR-005"].verdict is Verdict.PASS
    assert (found["VIS-004"].verdict, found["VIS-004"].headline) == (
        Verdict.FAIL,
        "ends with exit code 0 although it served nothing",
    )


def test_a_server_that_answers_nobody_is_not_judged_by_its_sign(tmp_path: Path) -> None:
    found = results(subject_of("deaf", tmp_path, **SHORT), "VIS-003", "VIS-004", "OVR-005")
    assert found["VIS-003"].verdict is Verdict.PASS
    for id in ("VIS-004", "OVR-005"):
        assert found[id].verdict is Verdict.UNJUDGED
        assert found[id].headline.startswith("it gave its sign of readiness and did not answer: group 0: ")


def test_numbers_may_begin_at_1(tmp_path: Path) -> None:
    assert set(verdicts(subject_of("ones", tmp_path), "VIS-003", "IDN-005", "LIF-006").values()) == {"pass"}


def test_nothing_to_serve_is_not_served_because_a_port_is_open(tmp_path: Path) -> None:
    """The log's sign is wanted once for each group; of no group it is not there before anything has happened."""
    found = results(subject_of("silent", tmp_path, **SHORT), "OVR-008")["OVR-008"]
    assert (found.verdict, found.headline) == (Verdict.FAIL, "hangs instead of refusing")
    assert all("neither ready nor ended after " in fact for fact in found.facts)


def test_a_helper_on_a_port_is_no_worker(tmp_path: Path) -> None:
    subject = subject_of("helper", tmp_path)
    found = verdicts(subject, "VIS-003", "LIF-001", "LIF-010")
    assert set(found.values()) == {"pass"}
    roles = {p.role for record in subject.launches().values() for p in record.processes if "helping" in p.argv}
    assert roles == {"other"}


def test_every_loss_is_looked_at_and_not_the_first_alone(tmp_path: Path) -> None:
    found = results(subject_of("forgetful", tmp_path), "LIF-006", "LIF-007")
    assert (found["LIF-006"].verdict, found["LIF-006"].headline) == (
        Verdict.FAIL,
        "does not notice that a worker is gone",
    )
    assert "killed, for the 2. time; 4 s later nobody is in its place" in found["LIF-006"].facts[1]
    assert found["LIF-007"].verdict is Verdict.PASS


def test_a_server_with_one_gpu_a_worker_is_refused_more_workers_before_its_next_start(tmp_path: Path) -> None:
    assert set(verdicts(subject_of("ones", tmp_path), "OVR-001", "OVR-003", "LIF-008").values()) == {"pass"}


def test_the_order_of_a_start_is_no_order_of_groups(tmp_path: Path) -> None:
    found = results(subject_of("door", tmp_path), "IDN-005")["IDN-005"]
    assert (found.verdict, found.facts) == (
        Verdict.NOT_DECLARED,
        ("[workers].worker with (?P<group>...) or (?P<port>...)",),
    )


def test_a_mask_is_judged_by_a_launch_that_starts_without_it(tmp_path: Path) -> None:
    """On one GPU two workers are refused with a mask and without: that says nothing of the mask."""
    subject = subject_of("ones", tmp_path, "a100x1")
    assert set(verdicts(subject, "VIS-004", "VIS-005", "VIS-008").values()) == {"pass"}
    asked = [(record.scenario.visible, record.scenario.groups) for record in subject.launches().values()]
    assert sorted(asked, key=str) == [("", 1), ("-1", 1), ("99", 1), (None, 1)]


ALL = [rule.id for function in functions("server") if (rule := rule_of(function)) is not None]
LONG = {"LIF-002", "LIF-003", "LIF-004", "LIF-005"}


@pytest.mark.parametrize(
    ("shape", "passes"),
    [
        ("whole", {"VIS-001", "VIS-002", "VIS-003", "VIS-004", "VIS-006", "VIS-007", "IDN-001", "CTR-001", "OVR-005"}),
        ("group", {"VIS-001", "VIS-003", "VIS-006", "VIS-007", "OVR-001", "OVR-002", "OVR-010", "OVR-008", "LIF-008"}),
    ],
)
def test_a_server_of_one_process_is_asked_what_it_can_be_asked(tmp_path: Path, shape: str, passes: set[str]) -> None:
    """Nothing is said against a correct one, and no rule about several groups is asked of it."""
    found = verdicts(subject_of(shape, tmp_path), *(id for id in ALL if id not in LONG))
    assert {id for id in passes if found[id] != "pass"} == set()
    assert {id: verdict for id, verdict in found.items() if verdict in ("fail", "warn", "error", "unjudged")} == {}
    for id in ("ASN-001", "ASN-004", "IDN-005", "LIF-001", "LIF-006", "LIF-010"):
        assert found[id] in ("does-not-apply", "not-declared")


def test_a_profile_without_a_number_is_not_taken_for_one_that_uses_all(tmp_path: Path) -> None:
    fixed = {'"door", "--groups", "{groups}"': '"door", "--groups", "2"'}
    with pytest.raises(UserError) as caught:
        subject_of("door", tmp_path, **SHORT, **fixed).control()
    words = r"saw \d workers? on \d of 8\. Write \{groups\} where the server is told how many workers to start"
    assert re.search(words, str(caught.value))


def test_a_launcher_of_ranks_that_ended_shares_nothing_and_says_nothing(tmp_path: Path) -> None:
    """Two ranks had their devices, two found none and died: that is no sharing, and a banner is no explanation."""
    found = results(subject_of("ranks", tmp_path), "VIS-001", "OVR-001", "OVR-003", "OVR-002", "OVR-006", "LIF-008")
    assert {id: result.verdict.value for id, result in found.items()} == {
        "VIS-001": "pass",
        "OVR-001": "pass",
        "OVR-003": "pass",
        "OVR-002": "fail",
        "OVR-006": "warn",
        "LIF-008": "pass",
    }
    assert found["OVR-006"].headline == "refuses with a bare exception"
