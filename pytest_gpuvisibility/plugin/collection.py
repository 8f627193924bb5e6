"""What collection has to do with GPUs: check markers, place marked tests, repeat tests under several masks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext, suppress

import pytest

from ..errors import UserError
from ..hooks import calls
from ..masks import resolve
from .gpu_session import narrowed
from .markers import marker_request
from .session import SESSION, active_session

PLACE = "_gpu_place"


def place_marked(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Give tests with our markers, or with a shared machine, their place; check what the markers ask for.

    :raises UserError: a marker is malformed, or asks for what is not there.
    """
    for item in items:
        # A pytest-xdist worker that raises here is taken for a crash; there the place fails the test in the same words.
        with suppress(UserError) if hasattr(config, "workerinput") else nullcontext():
            _check(config, item)
        if isinstance(item, pytest.Function) and PLACE not in item.fixturenames:
            item.fixturenames.insert(_first_of_function_scope(item), PLACE)


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
