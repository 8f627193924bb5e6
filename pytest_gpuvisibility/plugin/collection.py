"""What collection has to do with GPUs: check markers, place marked tests, repeat tests under several masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress

import pytest

from ..errors import UserError
from ..hooks import calls
from ..masks import resolve
from . import notes, options
from .gpu_session import narrowed
from .markers import NAMES, marker_request
from .placement import asks_for_machine
from .session import ISOLATED, PLACE, SESSION, active_session, is_placed


def place_marked(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Give tests with our markers, or with a machine, their place, before their other fixtures, which are to find the
    same GPUs there as the test; check what the markers ask for.

    :raises UserError: a marker is malformed, or asks for what is not there.
    """
    for item in items:
        # A pytest-xdist worker that raises here is taken for a crash; there the place fails the test in the same words.
        with suppress(UserError) if hasattr(config, "workerinput") else nullcontext():
            _check(config, item)
        if not isinstance(item, pytest.Function):
            continue
        there = is_placed(item)
        if there or any(mark.name in NAMES for mark in item.iter_markers()) or asks_for_machine(item):
            if there:
                item.fixturenames.remove(PLACE)
            item.fixturenames.insert(_first_of_function_scope(item), PLACE)


def isolate_some(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Be prepared for tests that are to run, or may have to run, in processes of their own."""
    from . import isolation

    if ISOLATED in config.stash:
        return

    if any(isolation.is_wanted(config, item) for item in items):
        isolation.register(config).prepare()
    elif _may_need_isolation(config):
        isolation.register(config)


def simulated_machines(config: pytest.Config, items: Iterable[pytest.Item]) -> str | None:
    """A line about tests on simulated machines of which the header says nothing; None where there are none."""
    names: dict[str, int] = {}
    for item in items:
        with suppress(UserError, pytest.UsageError):  # what is wrong there is told at its set-up
            if name := _machine_beside_the_header(config, item):
                names[name] = names.get(name, 0) + 1
    count = sum(names.values())
    if not count:
        return None
    what = "1 test runs on a simulated machine" if count == 1 else f"{count} tests run on simulated machines"
    return f"{what}: {', '.join(names)}"


def _machine_beside_the_header(config: pytest.Config, item: pytest.Item) -> str | None:
    if not is_placed(item):
        return None
    if (inventory := marker_request(item).inventory) is not None:
        return inventory
    session = active_session(config)
    in_header = session.selected and session.kind == "simulated"
    on_simulated = session.kind == "simulated" or asks_for_machine(item)
    return session.inventory.name if on_simulated and not in_header else None


def tell_of_machines(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """In a pytest-xdist worker, whose header nobody sees: say it at the end of the run."""
    if (line := simulated_machines(config, items)) is not None:
        notes.note(config, line)


def _may_need_isolation(config: pytest.Config) -> bool:
    leases = options.read(config).lease
    return _is_repeated(config) or (leases is not None and leases.value == "test")


def _check(config: pytest.Config, item: pytest.Item) -> None:
    asked = marker_request(item)
    if asked.inventory is not None:
        try:
            inventory = calls.inventory_finder(config)(asked.inventory)
        except UserError as error:
            raise UserError(f"{item.nodeid}: gpu_inventory({asked.inventory!r}): {error}") from None
        if asked.visibility is not None:
            narrowed(asked.visibility, resolve(None, inventory), inventory, "simulated")
    elif asked.visibility is not None and not _is_repeated(config):
        session = active_session(config)
        narrowed(asked.visibility, session.visibility, session.inventory, session.kind)


def _first_of_function_scope(item: pytest.Function) -> int:
    """Fixtures of wider scopes must not see the place of the test that happens to be their first user."""
    definitions = item._fixtureinfo.name2fixturedefs
    scopes = [definitions[name][-1].scope if name in definitions else None for name in item.fixturenames]
    return scopes.index("function") if "function" in scopes else len(scopes)


def _is_repeated(config: pytest.Config) -> bool:
    return SESSION in config.stash and bool(config.stash[SESSION].each_mask())


def repeat_under_masks(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses ``gpu_visibility``, the fixture or the marker, once for each mask of the session.

    With the marker, under those masks alone that show the devices it asks for.

    :raises UserError: no mask shows them.
    """
    if SESSION not in metafunc.config.stash:
        return
    masks = metafunc.config.stash[SESSION].each_mask()
    marked = metafunc.definition.get_closest_marker("gpu_visibility") is not None
    if not masks or not (marked or "gpu_visibility" in metafunc.fixturenames) or _has_own_machine(metafunc):
        return
    if marked:
        masks = _fitting(metafunc, masks)
    if PLACE not in metafunc.fixturenames:
        metafunc.fixturenames.append(PLACE)
    metafunc.parametrize(PLACE, list(masks.values()), indirect=True, ids=list(masks))


def _has_own_machine(metafunc: pytest.Metafunc) -> bool:
    return metafunc.definition.get_closest_marker("gpu_inventory") is not None


def _fitting(metafunc: pytest.Metafunc, masks: dict[str, str]) -> dict[str, str]:
    session = metafunc.config.stash[SESSION]
    wish = marker_request(metafunc.definition).visibility
    assert wish is not None
    found, refusal = {}, None
    for text, mask in masks.items():
        try:
            narrowed(wish, resolve(mask, session.inventory), session.inventory, session.kind)
            found[text] = mask
        except UserError as error:
            refusal = refusal or error
    if not found and refusal is not None:
        raise UserError(f"No mask of {session.masks[0].source} ({' | '.join(masks)}) will do: {refusal}")
    return found
