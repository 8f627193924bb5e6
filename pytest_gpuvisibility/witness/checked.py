"""A third party's witness, whose every answer is checked: a verdict must not rest on one of a wrong kind."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import UserError
from ..records import Account
from .base import ProcessRef, Witness, optional


class CheckedWitness:
    """The ``witness`` that the hook pytest_gpu_witness has answered; UserError where it answers nonsense."""

    def __init__(self, witness: Witness, source: str) -> None:
        """:param source: who has supplied it, for messages."""
        self._witness = witness
        self._source = source

    def accounts(self, processes: Iterable[ProcessRef]) -> dict[int, Account]:
        asked = list(processes)
        found = self._accounts("accounts", self._witness.accounts(asked))
        missing = [process.pid for process in asked if process.pid not in found]
        if missing:
            raise self._wrong("accounts", f"no account of process {missing[0]}", "one for each process")
        return found

    def touching(self, processes: Iterable[ProcessRef]) -> set[int]:
        found: object = self._witness.touching(processes)
        if not isinstance(found, (set, frozenset)):
            raise self._wrong("touching", repr(found), "a set of pids")
        return set(found)

    def unknown_processes(self, known: Iterable[ProcessRef]) -> dict[int, Account]:
        return self._accounts("unknown_processes", self._witness.unknown_processes(known))

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
