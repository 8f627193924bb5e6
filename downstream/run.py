"""Run tests of other projects, which select devices, without the plugin and under it, on a machine with no GPU.

``python downstream/run.py [NAME...]``, from a clone. For each recipe: a virtual environment with the project's
requirements and this clone's plugin, the project's tests fetched by git at the recipe's commit, and two runs of them,
as if the plugin were not there, and under it. A recipe that brings tests of its own, of what an unmodified project
detects in the process of a test, has one run of them, under the plugin. Nothing is kept unless ``--keep`` says where.
Exit code 1: a test failed under the plugin, or none ran; 2: there is no such recipe, or git or pip failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent
OUTCOMES = ("passed", "failed", "skipped")


@dataclass(frozen=True)
class Recipe:
    """One project. ``runs``: further arguments for each pytest process, one after the other. ``path``: directories of
    the checkout to import from. ``directory``: of the checkout, where pytest runs. ``brings``: instead of a repository,
    the directory of the tests, as seen from the recipe's; the project is one of those that it requires.
    """

    name: str
    requires: list[str]
    tests: list[str]
    options: list[str]
    repository: str = ""
    commit: str = ""
    checkout: list[str] = field(default_factory=list)
    brings: str = ""
    directory: str = "."
    path: list[str] = field(default_factory=lambda: ["."])
    runs: list[list[str]] = field(default_factory=lambda: [[]])

    @classmethod
    def read(cls, name: str, recipes: Path) -> Recipe:
        file = recipes / f"{name}.toml"
        if not file.is_file():
            known = ", ".join(sorted(path.stem for path in recipes.glob("*.toml")))
            print(f"run.py: there is no recipe {name!r}; there are {known}.", file=sys.stderr)
            raise SystemExit(2)
        recipe = cls(name=name, **tomllib.loads(file.read_text()))
        return replace(recipe, brings=str((recipes / recipe.brings).resolve())) if recipe.brings else recipe


def run(*command: str | Path, cwd: Path | None = None) -> None:
    try:
        subprocess.run([*map(str, command)], cwd=cwd, check=True)
    except subprocess.CalledProcessError as error:
        print(
            f"run.py: {' '.join(map(str, command))}\n        failed with exit code {error.returncode}", file=sys.stderr
        )
        raise SystemExit(2) from None


def fetch(recipe: Recipe, directory: Path) -> Path:
    """The files that the recipe names, at its commit."""
    directory.mkdir()
    git = ("git", "-C", directory)
    run("git", "init", "--quiet", directory)
    run(*git, "sparse-checkout", "set", "--no-cone", *(f"/{path}" for path in recipe.checkout))
    run(*git, "fetch", "--quiet", "--depth=1", "--filter=blob:none", recipe.repository, recipe.commit)
    run(*git, "-c", "advice.detachedHead=false", "checkout", "--quiet", "FETCH_HEAD")
    return directory


def environment(recipe: Recipe, directory: Path) -> Path:
    """A Python with the project's requirements and the plugin of this clone."""
    venv.create(directory, with_pip=True)
    python = directory / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", HERE.parent, *recipe.requires)
    return python


def outcomes(recipe: Recipe, python: Path, checkout: Path, room: Path, options: Sequence[str]) -> Counter[str]:
    """How many tests of all the recipe's runs passed, failed, were skipped."""
    total: Counter[str] = Counter()
    paths = [str(checkout / path) for path in recipe.path]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    for number, arguments in enumerate(recipe.runs):
        report = room / f"{number}.xml"
        report.unlink(missing_ok=True)
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *options]
        with open(report.with_suffix(".txt"), "w") as output:
            subprocess.run(
                [*command, *arguments, *recipe.tests],
                cwd=checkout / recipe.directory,
                env=environ,
                check=False,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        total += count(report)
    return total


def count(report: Path) -> Counter[str]:
    if not report.exists():
        return Counter(failed=1)
    found: Counter[str] = Counter()
    for suite in ElementTree.parse(report).iter("testsuite"):
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        found += Counter(failed=failed, skipped=skipped, passed=int(suite.get("tests", 0)) - failed - skipped)
    return found


def words(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome]) or "nothing ran"


def try_out(recipe: Recipe, room: Path, given: argparse.Namespace) -> bool:
    """Whether the project's tests ran under the plugin, and none failed."""
    about = " ".join(recipe.requires) if recipe.brings else f"{recipe.repository} {recipe.commit[:12]}"
    print(f"{recipe.name}: {about}", flush=True)
    sources, pythons = (dict(pair.split("=", 1) for pair in pairs) for pairs in (given.source, given.python))
    source = sources.get(recipe.name) or recipe.brings
    checkout = Path(source).resolve() if source else fetch(recipe, room / "checkout")
    python = Path(pythons[recipe.name]).absolute() if recipe.name in pythons else environment(recipe, room / "venv")
    if not recipe.brings:
        without = outcomes(recipe, python, checkout, room, ["-p", "no:gpuvisibility"])
        print(f"  without the plugin: {words(without)}", flush=True)
    under = outcomes(recipe, python, checkout, room, recipe.options)
    print(f"  under the plugin:   {words(under)}   ({' '.join(recipe.options)})", flush=True)
    if under["failed"]:
        for report in sorted(room.glob("*.txt")):
            print(*report.read_text().splitlines()[-25:], sep="\n")
    return under["passed"] > 0 and not under["failed"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="recipes; all of them by default")
    parser.add_argument("--recipes", type=Path, default=HERE / "recipes", help="their directory")
    parser.add_argument("--keep", type=Path, help="an empty or new directory for environments and checkouts")
    parser.add_argument(
        "--source", action="append", default=[], metavar="NAME=DIR", help="use this checkout instead of fetching one"
    )
    parser.add_argument(
        "--python", action="append", default=[], metavar="NAME=FILE", help="use this Python, which has all requirements"
    )
    given = parser.parse_args()
    names = given.names or sorted(path.stem for path in given.recipes.glob("*.toml"))
    recipes = [Recipe.read(name, given.recipes) for name in names]
    good = []
    with tempfile.TemporaryDirectory(prefix="downstream-", ignore_cleanup_errors=True) as temporary:
        for recipe in recipes:
            room = (given.keep or Path(temporary)).absolute() / recipe.name
            room.mkdir(parents=True, exist_ok=True)
            good.append(try_out(recipe, room, given))
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main())
