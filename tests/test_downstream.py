"""The runner of other projects' tests, on a project small enough for a test; the real ones take minutes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DOWNSTREAM = Path(__file__).parent.parent / "downstream"
RECIPE = """
repository = "{repository}"
commit = "{commit}"
checkout = ["tests"]
requires = []
tests = ["tests/test_it.py"]
options = ["--gpu-inventory=a100x2"]
"""
BRINGING = """
brings = "../own"
requires = []
tests = ["test_own.py"]
options = ["--gpu-inventory=a100x2"]
"""
TESTS = """
import pytest
pynvml = pytest.importorskip("pynvml")

def test_two():
    pynvml.nvmlInit()
    assert pynvml.nvmlDeviceGetCount() == {count}

def test_nothing(): pass
"""


def git(directory: Path, *words: str) -> str:
    command = ["git", "-C", str(directory), "-c", "user.name=test", "-c", "user.email=test@example.org", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def project(directory: Path, count: int) -> Path:
    """A repository whose tests want so many GPUs, and the directory of a recipe for it."""
    repository, recipes = directory / "repository", directory / "recipes"
    recipes.mkdir()
    (repository / "tests").mkdir(parents=True)
    (repository / "tests" / "test_it.py").write_text(TESTS.format(count=count))
    git(directory, "init", "--quiet", str(repository))
    git(repository, "add", "tests")
    git(repository, "commit", "--quiet", "-m", "tests")
    commit = git(repository, "rev-parse", "HEAD")
    (recipes / "small.toml").write_text(RECIPE.format(repository=repository, commit=commit))
    return recipes


def run(recipes: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DOWNSTREAM / "run.py"), f"--recipes={recipes}", f"--python=small={sys.executable}"]
    return subprocess.run([*command, *words], cwd=recipes, check=False, capture_output=True, text=True)


def test_tests_run_without_the_plugin_and_under_it(tmp_path: Path) -> None:
    done = run(project(tmp_path, count=2))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "  without the plugin: 1 passed, 1 failed\n" in done.stdout
    assert "  under the plugin:   2 passed   (--gpu-inventory=a100x2)\n" in done.stdout


def test_a_test_that_fails_under_the_plugin_is_shown(tmp_path: Path) -> None:
    done = run(project(tmp_path, count=3), "small")
    assert done.returncode == 1
    assert "assert 2 == 3" in done.stdout


@pytest.mark.parametrize(("count", "code", "told"), [(4, 0, "1 passed"), (5, 1, "1 failed")])
def test_a_recipe_may_bring_tests_of_its_own(tmp_path: Path, count: int, code: int, told: str) -> None:
    recipes, own = tmp_path / "recipes", tmp_path / "own"
    recipes.mkdir()
    own.mkdir()
    (recipes / "small.toml").write_text(BRINGING)
    (own / "test_own.py").write_text(
        "import pynvml, pytest\n\n@pytest.mark.gpu_inventory('mixed4')\ndef test_four():\n    pynvml.nvmlInit()\n"
        f"    assert pynvml.nvmlDeviceGetCount() == {count}\n"
    )
    done = run(recipes)
    assert done.returncode == code, done.stdout + done.stderr
    assert f"  under the plugin:   {told}   (--gpu-inventory=a100x2)\n" in done.stdout
    assert "without the plugin" not in done.stdout


def test_what_cannot_be_had_is_named(tmp_path: Path) -> None:
    recipes = project(tmp_path, count=2)
    done = run(recipes, "smell")
    assert (done.returncode, done.stderr) == (2, "run.py: there is no recipe 'smell'; there are small.\n")
    recipe = recipes / "small.toml"
    recipe.write_text(recipe.read_text().replace("repository = ", "repository = '/nonexistent' #"))
    done = run(recipes)
    assert done.returncode == 2
    assert "fetch --quiet --depth=1" in done.stderr


@pytest.mark.parametrize("name", sorted(path.stem for path in (DOWNSTREAM / "recipes").glob("*.toml")))
def test_each_recipe_is_one(name: str) -> None:
    reading = (
        f"import sys; sys.path.insert(0, {str(DOWNSTREAM)!r}); import run; from pathlib import Path;"
        f" recipe = run.Recipe.read({name!r}, Path({str(DOWNSTREAM / 'recipes')!r}));"
        " assert recipe.tests and recipe.options and (recipe.brings or len(recipe.commit) == 40);"
        " assert not recipe.brings or all(Path(recipe.brings, test).is_file() for test in recipe.tests)"
    )
    subprocess.run([sys.executable, "-c", reading], check=True)
    assert name in (DOWNSTREAM.parent / "docs" / "downstream.md").read_text().lower().replace(" ", "-")
