"""What rules expect of how a launch begins, is refused and ends, on launches written down by hand."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from pytest_gpuvisibility.conformance.expect import (
    assert_admits_a_dead_worker,
    assert_all_gone,
    assert_each,
    assert_fails_without_workers,
    assert_no_hang,
    assert_no_traceback,
    assert_not_a_bare_error,
    assert_ready,
    assert_refused,
    assert_says,
    last_words,
    outcome,
    self_report,
)
from pytest_gpuvisibility.conformance.launch import Launch
from twin_runs import TWINS
from written_launches import launched, process, refused, violation_of

from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.profile import files as profiles
from pytest_gpuvisibility.records import LaunchRecord, Scenario, SelfReport
from pytest_gpuvisibility.suite import Violation

LAUNCH = "CUDA_VISIBLE_DEVICES=4,5,6,7, 2 groups of 1"
HANGS = launched(outcome="timeout", seconds=15.4)
WAITS = launched(outcome="waiting", seconds=15.4)
TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 4, in load\n    self.read(2)\n'


@pytest.mark.parametrize(
    ("fleet", "words"),
    [
        (launched(seconds=2.34), "ready after 2.3 s"),
        (refused(seconds=2.34, exit_code=-9), "exit code -9 after 2.3 s"),
        (HANGS, "neither ready nor ended after 15 s"),
        (WAITS, "neither ready nor ended after 15 s, as it declares"),
    ],
)
def test_what_became_of_a_launch_is_said_in_words(fleet: LaunchRecord, words: str) -> None:
    assert outcome(fleet) == words


@pytest.mark.parametrize(
    ("stdout", "stderr", "said"),
    [
        ("loading\n", "warning\n  no GPU  \n\n \n", "no GPU"),
        ("loading\n  no GPU  \n", "\n \n", "no GPU"),
        ("", "", ""),
    ],
)
def test_the_last_words_are_those_on_stderr_if_there_are_any(stdout: str, stderr: str, said: str) -> None:
    fleet = refused(stderr, stdout=stdout)
    assert last_words(fleet) == said
    assert violation_of(assert_ready, fleet).facts[-1] == (f"last words: {said}" if said else "it wrote nothing")


def test_of_a_long_last_line_its_beginning_is_quoted() -> None:
    assert violation_of(assert_ready, refused("x" * 200)).facts[-1] == "last words: " + "x" * 160


def test_whoever_does_not_start_is_told_of_with_what_became_of_it() -> None:
    assert_ready(launched())
    for fleet, words in ((refused("no GPU"), "exit code 1 after 1.0 s"), (HANGS, "neither ready nor ended after 15 s")):
        broken = violation_of(assert_ready, fleet)
        assert broken.headline == "does not start although its GPUs are there"
        assert broken.facts[:2] == (LAUNCH, words)


# Refusals.


def test_a_refusal_ends_by_itself_and_leaves_nothing_or_waits_as_declared() -> None:
    assert_refused(refused("no GPU"))
    assert_refused(WAITS)


@pytest.mark.parametrize(
    ("fleet", "headline", "facts"),
    [
        (
            launched(process("worker", 0, "4"), process("worker", 1, "4"), visible="4"),
            "starts although it asks for more than it has",
            ["asked 2, permitted 1; ready after 1.0 s with 2 workers (touched)"],
        ),
        (HANGS, "hangs instead of refusing", ["asked 2, permitted 4; neither ready nor ended after 15 s"]),
        (
            refused("nothing to do", exit_code=0),
            "ends with exit code 0 although it served nothing",
            ["exit code 0 after 1.0 s", "last words: nothing to do"],
        ),
        (
            refused(survivors=("worker 20: server", "port 19100")),
            "leaves processes behind when it refuses",
            ["worker 20: server", "port 19100"],
        ),
    ],
    ids=["starts", "hangs", "exit code 0", "leaves something"],
)
def test_what_is_no_refusal(fleet: LaunchRecord, headline: str, facts: list[str]) -> None:
    broken = violation_of(assert_refused, fleet)
    assert broken.headline == headline
    assert list(broken.facts[1:]) == facts


@pytest.mark.parametrize(
    ("scenario", "sense"),
    [
        (Scenario(layout="2"), False),
        (Scenario(groups=0), False),
        (Scenario(groups=-1), False),
        (Scenario(groups=1), True),
    ],
)
def test_a_layout_without_sense_is_called_so(scenario: Scenario, sense: bool) -> None:
    headline = violation_of(assert_refused, launched(scenario=scenario)).headline
    assert (
        headline
        == f"starts {'although it asks for more than it has' if sense else 'with a layout that makes no sense'}"
    )


def test_hanging_is_neither_refusing_nor_waiting_as_declared() -> None:
    for fleet in (launched(), refused(), WAITS):
        assert_no_hang(fleet)
    broken = violation_of(assert_no_hang, HANGS)
    assert broken.headline == "hangs when it is asked for more than it has"
    assert broken.facts == (LAUNCH, "neither ready nor ended after 15 s")


@pytest.mark.parametrize(
    ("stderr", "says"),
    [
        ("asked for 4 GPUs, only 2 are there", True),
        ("4 GPUs asked for", False),
        ("2 GPUs there", False),
        ("error 42: 4", False),
        ("4 of x2", False),
        ("4: cuda:2, 2", True),
        (TRACEBACK + "RuntimeError: 4 are asked for, 2 there", True),
        (TRACEBACK + "RuntimeError: 4 are asked for", False),
        ("  only 2 of 4", True),
        ("4\n2", True),
    ],
)
def test_a_refusal_names_each_number(stderr: str, says: bool) -> None:
    with contextlib.nullcontext() if says else pytest.raises(AssertionError):
        assert_says(refused(stderr), "4", "2")


@pytest.mark.parametrize(
    ("stderr", "stdout", "fact"),
    [
        ("4 asked for", "", "stderr does not name 2; exit code 1 after 1.0 s"),
        ("no", "", "stderr does not name 4 and 2; exit code 1 after 1.0 s"),
        ("no", "4", "stderr does not name 4 and 2; exit code 1 after 1.0 s"),
        ("no", "2 of 4", "stderr does not name 4 and 2 (it is on stdout, not on stderr); exit code 1 after 1.0 s"),
        ("4", "only 2", "stderr does not name 2 (it is on stdout, not on stderr); exit code 1 after 1.0 s"),
    ],
)
def test_what_a_refusal_does_not_name_is_told_and_whether_it_is_on_stdout(stderr: str, stdout: str, fact: str) -> None:
    broken = violation_of(assert_says, refused(stderr, stdout=stdout), "4", "2")
    assert broken.headline == "refuses without saying why"
    assert broken.facts == (LAUNCH, fact, f"last words: {stderr}")


@pytest.mark.parametrize(
    ("line", "bare"),
    [
        ("IndexError: list index out of range", True),
        ("ValueError", True),
        ("AssertionError", True),
        ("KeyError: 'GPU'", True),
        ("TypeError: int", True),
        ("torch.cuda.ValueError: x", True),
        ("RuntimeError: CUDA error: invalid device ordinal", True),
        ("RuntimeError: layout asks for 4 devices", False),
        ("ValueError: local_rank 2 exceeds available GPUs in CUDA_VISIBLE_DEVICES=2,3", False),
        ("ValueError: Number of workers cannot be less than 1.", False),
        ("AssertionError: 2 devices asked for, 4 there", False),
        ("IndexError: CUDA_VISIBLE_DEVICES=2,3 has no third entry", False),
        ("ValueError: invalid literal for int() with base 10: 'GPU-1'", True),
        ("ValueError: not enough values to unpack (expected 2, got 1)", True),
        ("ValueError: '0' is not in list", True),
        ("IndexError: pop from empty list", True),
        ("KeyError: 'GPU-904d1'", False),
        ("IndexError: device 99 is not there", False),
        ("TypeError: int() argument must be a string, a bytes-like object or a real number, not 'NoneType'", True),
        ("error: IndexError means that there are too few GPUs", False),
        ("MyIndexErrors: none", False),
    ],
)
def test_the_end_of_a_traceback_is_not_for_a_person(line: str, bare: bool) -> None:
    if not bare:
        assert_not_a_bare_error(refused(TRACEBACK + line))
        return
    broken = violation_of(assert_not_a_bare_error, refused(TRACEBACK + line))
    assert (broken.headline, broken.facts[1]) == ("refuses with a bare exception", f"last words: {line}")
    assert_not_a_bare_error(launched(stderr=line))


ORDINAL = "rank 2: RuntimeError: CUDA error: invalid device ordinal\n"


@pytest.mark.parametrize(
    ("stderr", "stdout", "bare"),
    [
        (ORDINAL, "", True),
        (f"{ORDINAL}{'=' * 20}\nrank.py FAILED\n{'=' * 20}\n", "", True),
        (f"{ORDINAL}error: a worker has failed", "", True),
        (f"{ORDINAL}error: CUDA_VISIBLE_DEVICES=4,5 is too short", "", False),
        (f"error: 2 GPUs are asked for, 4 there\n{ORDINAL}", "", False),
        (ORDINAL, "2 GPUs are asked for, 4 there", False),
        (f"{ORDINAL}error: 2 GPUs are asked for", "", True),
        (f"{TRACEBACK}IndexError: list index out of range\n{'=' * 20}\n", "", True),
        (f"CUDA_VISIBLE_DEVICES is too short\n{TRACEBACK}IndexError: list index out of range\n", "", True),
        (f"{TRACEBACK}IndexError: list index out of range\nerror: no GPU for worker 2\n", "", False),
        ("", f"{TRACEBACK}IndexError: list index out of range\n", True),
        ("", "", False),
    ],
)
def test_a_refusal_is_judged_by_what_it_says(stderr: str, stdout: str, bare: bool) -> None:
    fleet = refused(stderr, stdout=stdout)
    with pytest.raises(Violation) if bare else contextlib.nullcontext():
        assert_not_a_bare_error(fleet)


@pytest.mark.parametrize(
    ("line", "ends"),
    [
        ("RuntimeError: layout asks for 4 devices", True),
        ("package.module.SomeException", True),
        ("subprocess.TimeoutExpired: x", True),
        ("KeyboardInterrupt", False),
        ("error: layout asks for 4 devices", False),
        ("Errors: see above", True),
        ("An Error: no", False),
    ],
)
def test_a_server_ends_in_a_traceback_of_whatever_exception(line: str, ends: bool) -> None:
    if not ends:
        assert_no_traceback(refused(TRACEBACK + line))
        return
    broken = violation_of(assert_no_traceback, refused(TRACEBACK + line))
    assert (broken.headline, broken.facts[1]) == ("ends in a traceback", f"last words: {line}")
    assert_no_traceback(launched(stderr=TRACEBACK + line))
    assert_no_traceback(refused(line))


# Ends.


def test_whatever_is_left_is_told_with_how_long_it_was_waited_for() -> None:
    assert_all_gone(launched())
    left = launched(survivors=("worker 20: python server", "port 19100"), farewell_seconds=5.4)
    broken = violation_of(assert_all_gone, left)
    assert (broken.headline, broken.facts) == (
        "leaves processes behind",
        (LAUNCH, "2 left after 5 s: worker 20; port 19100"),
    )


@pytest.mark.parametrize(
    ("fleet", "headline", "fact"),
    [
        (launched(), "", ""),
        (refused(), "", ""),
        (HANGS, "", ""),
        (
            refused("bye", exit_code=0),
            "ends with exit code 0 although a worker could not start",
            "last words: bye",
        ),
        (
            launched(outcome="timeout", seconds=10.0, reports_ready=True),
            "reports ready although a worker could not start",
            "10 s later the launcher runs and its front door is open",
        ),
        (
            launched(seconds=2.0, reports_ready=True),
            "reports ready although a worker could not start",
            "2 s later the launcher runs and its front door is open",
        ),
    ],
    ids=["replaced", "ended", "not ready", "exit code 0", "reports ready", "ready without it"],
)
def test_a_worker_that_could_not_start_is_admitted(fleet: LaunchRecord, headline: str, fact: str) -> None:
    if not headline:
        assert_admits_a_dead_worker(fleet)
        return
    broken = violation_of(assert_admits_a_dead_worker, fleet)
    assert (broken.headline, broken.facts) == (headline, (LAUNCH, fact))


@pytest.mark.parametrize(
    ("what", "headline", "fact"),
    [
        ({"final_exit_code": 1}, "", ""),
        ({"final_exit_code": -9}, "", ""),
        ({"final_exit_code": 0}, "ends with exit code 0 after all its workers died", "exit code 0"),
        (
            {"final_exit_code": None, "farewell_seconds": 5.0},
            "goes on without any worker",
            "the launcher still runs 5 s later",
        ),
        ({"final_exit_code": None, "revived": True}, "", ""),
        ({"final_exit_code": 0, "revived": True}, "", ""),
    ],
)
def test_whoever_lost_all_workers_fails_or_has_new_ones(what: dict[str, Any], headline: str, fact: str) -> None:
    if not headline:
        assert_fails_without_workers(launched(**what))
        return
    broken = violation_of(assert_fails_without_workers, launched(**what))
    assert (broken.headline, broken.facts) == (headline, (LAUNCH, fact))


# Several at once, and what a server says of itself.


def test_every_launch_is_judged_and_every_failure_told() -> None:
    fine, hangs = refused("no GPU"), HANGS
    starts = launched(process("worker", 0, "4"), visible="4")
    assert_each([fine, fine], assert_refused, assert_no_hang)
    broken = violation_of(assert_each, [fine, starts, hangs], assert_refused, assert_no_hang)
    assert broken.headline == "starts although it asks for more than it has"
    assert broken.facts == (
        "CUDA_VISIBLE_DEVICES=4, 2 groups of 1: starts although it asks for more than it has;"
        " asked 2, permitted 1; ready after 1.0 s with 1 workers (touched)",
        f"{LAUNCH}: hangs instead of refusing; asked 2, permitted 4; neither ready nor ended after 15 s",
    )
    assert violation_of(assert_each, [hangs], assert_no_hang, assert_refused).headline.startswith("hangs when")


PROFILE = TWINS / "correct.toml"


class NoLauncher:
    """Where no server is launched."""

    profile = profiles.load(PROFILE)


ASKED = Launch(NoLauncher(), "a100x8")


def test_a_report_that_says_something_is_heard() -> None:
    said = SelfReport(({"device": "0"},))
    assert self_report(launched(self_reports={"metrics": said}), "metrics", ASKED) is said


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (SelfReport(error="503"), "503"),
        (SelfReport(({"device": "0"},), error="503"), "503"),
        (SelfReport(), '/"uuid": "(?P<device>[^"]+)"/ finds nothing'),
    ],
)
def test_a_report_that_says_nothing_is_a_mistake_of_the_profile(said: SelfReport, why: str) -> None:
    with pytest.raises(UserError) as caught:
        self_report(launched(self_reports={"metrics": said}), "metrics", ASKED)
    assert str(caught.value) == f"[reports].metrics of {PROFILE}: {why}. Correct it, or leave it out."
