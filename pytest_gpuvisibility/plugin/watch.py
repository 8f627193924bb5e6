"""Watches over what pytest's own process shows: which file or test changes it, and that the next test has its own."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from ..environment import MASK, describe_mask, restore, shortened_mask
from . import notes
from .own_process import OwnProcess, own_process
from .session import SESSION, is_placed

NAME = "gpu-visibility-watch"


class Watch:
    """pytest's hooks around files and tests; registered where a session has GPUs, or a test was given some."""

    def __init__(self, config: pytest.Config, process: OwnProcess) -> None:
        self._config = config
        self._process = process
        self._changed_by = ""
        self._leaves: set[str] = set()

    @property
    def _wanted(self) -> dict[str, str | None]:
        """The variables that decide, as they are to be between two tests; empty where nothing was selected."""
        session = self._config.stash.get(SESSION, None)
        return session.variables if session is not None and session.selected else {}

    def _changes(self) -> dict[str, str | None]:
        return {name: found for name, value in self._wanted.items() if (found := os.environ.get(name)) != value}

    def _look(self, doing: str) -> None:
        self._process.look(doing)
        if not self._changes():
            self._changed_by = ""
        elif not self._changed_by:
            self._changed_by = doing

    # ---- files ----

    def pytest_plugin_registered(self, plugin: object) -> None:
        file = getattr(plugin, "__file__", None)
        self._look(f"{self._relative(file)}, when it was imported," if file else "a plugin")

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        self._look(f"{self._relative(collector.path)}, when it was imported,")
        return report

    def _relative(self, file: str | os.PathLike[str]) -> str:
        found = os.path.relpath(file, self._config.rootpath)
        return os.fspath(file) if found.startswith(os.pardir) else found

    # ---- tests ----

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        changes = self._changes()
        if not changes:
            return
        wanted = self._wanted
        restore(os.environ, {name: wanted[name] for name in changes})
        if MASK in changes:
            value = changes[MASK]
            did = "unset CUDA_VISIBLE_DEVICES" if value is None else f"set CUDA_VISIBLE_DEVICES={shortened_mask(value)}"
        else:
            did = "changed CUDA_DEVICE_ORDER"
        who = self._changed_by or "Something"
        notes.note(self._config, f"{who} {did}; the tests run under {describe_mask(wanted[MASK])} all the same")
        self._changed_by = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
        yield
        self._look(item.nodeid)
        if is_placed(item) and nextitem and not is_placed(nextitem):
            self._take_back(item)

    def _take_back(self, item: pytest.Item) -> None:
        """Put CUDA in this process back where the tests are that ask for nothing."""
        session = self._config.stash.get(SESSION, None)
        selected = session is not None and session.selected
        if session is not None and (selected or session.machine is None):
            elsewhere = self._process.is_elsewhere(session.visibility.devices, session.kind)
        else:
            elsewhere = self._process.is_elsewhere((), "simulated")
        if elsewhere:
            self._tell(item, selected)
        else:
            self._process.look(item.nodeid)

    def _tell(self, item: pytest.Item, selected: bool) -> None:
        culprit = self._process.initialised_by or item.nodeid
        if culprit in self._leaves:
            return
        self._leaves.add(culprit)
        told = (
            f"{culprit} has initialised CUDA in pytest's own process and holds GPUs of its own; what later tests ask"
            " CUDA for in this process, they get there."
        )
        if not selected:
            notes.note(self._config, f"{told} @pytest.mark.gpu_isolated gives it a process of its own")
            return
        pytest.fail(f"{told} Give it a process of its own: @pytest.mark.gpu_isolated, or --gpu-isolate.", pytrace=False)


def register(config: pytest.Config) -> OwnProcess:
    """Let there be a watch, and say what it watches over."""
    process = own_process(config)
    if SESSION in config.stash:
        process.know(config.stash[SESSION].inventory)  # tests that ask for nothing are there
    if not config.pluginmanager.has_plugin(NAME):
        config.pluginmanager.register(Watch(config, process), NAME)
    return process
