"""A third party's witness: what it answers is passed on, and what is no answer is said to be none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.records import Account, Evidence
from pytest_gpuvisibility.witness import CheckedWitness, ProcessRef, optional

FIRST, SECOND = ProcessRef(20, 1000, {}), ProcessRef(21, 1001, {})
ACCOUNT = Account(Evidence.TOUCHED, ("GPU-1",))


class Answering:
    """Answers each question with what it was given, and keeps what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[Any] = []

    def accounts(self, processes: Iterable[ProcessRef]) -> Any:
        self.asked.append(list(processes))
        return self.answers["accounts"]

    def touching(self, processes: Iterable[ProcessRef]) -> Any:
        self.asked.append(list(processes))
        return self.answers["touching"]

    def unknown_processes(self, known: Iterable[ProcessRef]) -> Any:
        self.asked.append(list(known))
        return self.answers["unknown_processes"]


class Watching(Answering):
    """One that wants to know when to look, and when it is over."""

    def look(self) -> None:
        self.asked.append("look")

    def close(self) -> None:
        self.asked.append("close")


def checked(witness: Answering) -> CheckedWitness:
    return CheckedWitness(witness, "implemented by conftest.py")


def test_what_it_says_is_passed_on() -> None:
    accounts: Mapping[int, Account] = {20: ACCOUNT, 21: Account(Evidence.NONE)}
    witness = Answering(accounts=accounts, touching={20}, unknown_processes={30: ACCOUNT})
    assert checked(witness).accounts(iter([FIRST, SECOND])) == accounts
    assert checked(witness).touching([FIRST, SECOND]) == {20}
    assert checked(witness).unknown_processes([FIRST]) == {30: ACCOUNT}
    assert witness.asked == [[FIRST, SECOND], [FIRST, SECOND], [FIRST]]


def test_any_kind_of_set_will_do() -> None:
    assert checked(Answering(touching=frozenset({20}))).touching([FIRST]) == {20}


def test_it_is_told_when_to_look_and_when_it_is_over_if_it_wants_to_know() -> None:
    witness = Watching()
    checked(witness).look()
    checked(witness).close()
    assert witness.asked == ["look", "close"]
    checked(Answering()).look()
    checked(Answering()).close()
    assert optional(witness, "look") == witness.look


@pytest.mark.parametrize(
    ("method", "answer", "words"),
    [
        ("accounts", [], "accounts with []; it must return a dict of pytest_gpuvisibility.witness.Account by pid."),
        ("accounts", {20: ("GPU-1",)}, "accounts with {20: ('GPU-1',)}; it must return a dict of "),
        ("accounts", {20: ACCOUNT, 21: None}, "it must return a dict of pytest_gpuvisibility.witness.Account by pid."),
        ("accounts", {}, "accounts with no account of process 20; it must return one for each process."),
        ("accounts", {20: ACCOUNT}, "accounts with no account of process 21; it must return one for each process."),
        ("touching", [20], "touching with [20]; it must return a set of pids."),
        ("touching", None, "touching with None; it must return a set of pids."),
        ("unknown_processes", None, "unknown_processes with None; it must return a dict of "),
        ("unknown_processes", {30: {}}, "unknown_processes with {30: {}}; it must return a dict of "),
    ],
)
def test_an_answer_of_a_wrong_kind_is_a_mistake_of_its_author(method: str, answer: Any, words: str) -> None:
    witness = checked(Answering(**{method: answer}))
    with pytest.raises(UserError) as caught:
        getattr(witness, method)(iter([FIRST, SECOND]))
    begin = "The witness Answering, supplied by the hook pytest_gpu_witness (implemented by conftest.py), answered "
    assert str(caught.value).startswith(f"{begin}{method} with ")
    assert words in str(caught.value)
