"""A third party's witness, whose every answer is checked: a verdict must not rest on one of a wrong kind."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import UserError
from .base import Account, Suspect, Witness, optional


class CheckedWitness:
    """The ``witness`` that the hook pytest_gpu_witness has answered; UserError where it answers nonsense."""

    def __init__(self, witness: Witness, source: str) -> None:
        """:param source: who has supplied it, for messages."""
        self._witness = witness
        self._source = source

    def accounts(self, suspects: Iterable[Suspect]) -> dict[int, Account]:
        asked = list(suspects)
        found = self._accounts("accounts", self._witness.accounts(asked))
        missing = [suspect.pid for suspect in asked if suspect.pid not in found]
        if missing:
            raise self._wrong("accounts", f"no account of process {missing[0]}", "one for each suspect")
        return found

    def touchers(self, suspects: Iterable[Suspect]) -> set[int]:
        found: object = self._witness.touchers(suspects)
        if not isinstance(found, (set, frozenset)):
            raise self._wrong("touchers", repr(found), "a set of pids")
        return set(found)

    def strangers(self, known: Iterable[Suspect]) -> dict[int, Account]:
        return self._accounts("strangers", self._witness.strangers(known))

    def look(self) -> None:
        optional(self._witness, "look")()

    def close(self) -> None:
        optional(self._witness, "close")()

    def _accounts(self, method: str, found: object) -> dict[int, Account]:
        if not isinstance(found, dict) or not all(isinstance(account, Account) for account in found.values()):
            raise self._wrong(method, repr(found), "a dict of pytest_gpuvisibility.witness.Account by pid")
        return found

    def _wrong(self, method: str, answer: str, allowed: str) -> UserError:
        return UserError(
            f"The witness {type(self._witness).__name__}, supplied by the hook pytest_gpu_witness ({self._source}),"
            f" answered {method} with {answer}; it must return {allowed}."
        )
