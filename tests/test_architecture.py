"""The layout that docs/architecture.md shows is the one that the imports have."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest
from places import DOCS, ROOT

LONGEST = 400
"""Lines of a module; but of the table of masks."""
LONGEST_FACE = 20
WHERE_PYTEST_IS = ("plugin", "hooks", "cli", "conformance.conftest")
STARTS_UP = {
    "": "the package is imported for its plugin in every pytest run",
    "cli": "a command imports what it needs",
    "hooks.calls": "a run with a mask asks for an inventory, and for nothing of servers",
    "plugin.collection": "few runs have tests that may need a process of their own",
    "plugin.fixtures": "an idle plugin imports it",
    "plugin.hooks": "an idle plugin imports it",
    "plugin.kernel_launch_report": "an idle plugin imports it",
    "plugin.markers": "an idle plugin imports it",
    "plugin.session": "an idle plugin imports it",
    "host.supervisor": "a program that is started for each server",
    "server.requests": "websockets takes longer to import than all the rest, and few profiles need it",
}
"""Modules that may import inside functions, and why their start-up counts."""


def load_draw() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw", DOCS / "architecture" / "draw.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


draw = load_draw()
MODULES: dict[str, Path] = draw.modules()


def test_every_module_stands_on_a_floor() -> None:
    assert {draw.node_of(name) for name in MODULES} == set(draw.FLOOR_OF)
    assert len(draw.FLOORS) <= 10


def test_no_import_goes_up_or_across() -> None:
    wrong = [
        words
        for (start, end), found in draw.arrows().items()
        for words in found
        if draw.FLOOR_OF[end] >= draw.FLOOR_OF[start]
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Also not through an import inside a function, or one for type checkers alone."""
    graph = {name: set(draw.imports(name, path, MODULES)) - {name} for name, path in MODULES.items()}
    faces = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    for name, found in graph.items():
        found -= {face for face in faces if name.startswith(f"{face}.")}  # its own package is there before it is
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(f"imports in a circle: {' <- '.join(circle.args[1])}")


def test_a_package_is_used_through_its_face() -> None:
    """A module of another package is imported whole, by its name; what it holds comes from the package's face."""
    wrong = [
        f"{name} imports {', '.join(names)} from {'.'.join(target)}"
        for name, path in MODULES.items()
        for target, names in imported_names(name, path)
        if len(target) > 1 and target[0] != name.split(".")[0] and ".".join(target) in MODULES
    ]
    assert wrong == []


def imported_names(name: str, path: Path) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (target := draw.base_of(node, package)):
            yield target, [alias.name for alias in node.names]


def test_faces_are_short() -> None:
    lengths = {
        name: len(path.read_text().splitlines())
        for name, path in MODULES.items()
        if path.name == "__init__.py" and name != "conformance"
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FACE} == {}


def test_modules_are_short() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items() if name != "masks.rules"}
    for path in (ROOT / "pytest_gpuvisibility" / "simulator" / "smi").glob("*.py"):
        lengths[f"smi.{path.stem}"] = len(path.read_text().splitlines())
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_pytest_is_the_plugins_alone() -> None:
    found = {
        name
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "pytest" for alias in node.names)
    }
    assert {name for name in found if draw.node_of(name) not in WHERE_PYTEST_IS} == set()


def test_imports_stand_at_the_top_but_where_start_up_counts() -> None:
    lazy = {
        name
        for name, path in MODULES.items()
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert lazy == set(STARTS_UP) - {""}


def test_reports_name_the_types_they_take() -> None:
    for path in (ROOT / "pytest_gpuvisibility" / "reports").glob("*.py"):
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert "Any" not in names, path.name


def test_the_page_is_current() -> None:
    assert draw.PICTURE.read_text() == draw.picture(), "run: python docs/architecture/draw.py"
    assert draw.PAGE.read_text() == draw.page(), "run: python docs/architecture/draw.py"
