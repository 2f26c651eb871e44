"""The conda recipe asks for what pyproject.toml asks for, under conda-forge's names."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "ray": "ray-core"}
NOT_FOR_USERS = {"dev", "docs"}


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def recipe() -> dict:
    return yaml.safe_load((ROOT / "packaging" / "conda" / "recipe.yaml").read_text(encoding="utf-8"))


def conda(line: str) -> str:
    """Return a requirement as conda writes it."""
    requirement = Requirement(line)
    name = CONDA_NAMES.get(requirement.name, requirement.name).lower()
    return f"{name} {requirement.specifier}"


def test_it_is_this_project(project: dict, recipe: dict) -> None:
    assert recipe["package"]["name"] == project["name"]
    assert recipe["context"]["version"] == project["version"]
    assert recipe["about"]["license"] == project["license"]
    (entry_point,) = recipe["build"]["python"]["entry_points"]
    assert entry_point == f"hsi = {project['scripts']['hsi']}"


def test_dependencies_are_the_same(project: dict, recipe: dict) -> None:
    python, *others = recipe["requirements"]["run"]
    assert python == "python >=${{ python_min }}"
    assert sorted(others) == sorted(map(conda, project["dependencies"]))


def test_extras_are_bounded_the_same(project: dict, recipe: dict) -> None:
    extras = project["optional-dependencies"]
    lines = [line for name, group in extras.items() if name not in NOT_FOR_USERS for line in group]
    assert sorted(recipe["requirements"]["run_constraints"]) == sorted(map(conda, lines))


def test_what_builds_it_is_the_same(recipe: dict) -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    tools = [line for line in recipe["requirements"]["host"] if not re.match(r"(python|pip)\b", line)]
    assert tools == [conda(line) for line in build["requires"]]
