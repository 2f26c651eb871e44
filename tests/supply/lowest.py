"""Print the lower bound of every dependency in pyproject.toml as pip constraints.

Run as ``python tests/supply/lowest.py > lowest.txt``. Bounds of the development tools are left out: users
never install those.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
DEVELOPMENT = ("dev", "docs")


def requirements() -> Iterator[Requirement]:
    """Yield what hsi itself and its extras need, other extras of hsi not followed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    groups = [project["dependencies"], *(lines for name, lines in extras.items() if name not in DEVELOPMENT)]
    for line in (line for group in groups for line in group):
        requirement = Requirement(line)
        if requirement.name != project["name"]:
            yield requirement


def lowest(requirement: Requirement) -> str:
    """Return ``name==lower bound``."""
    bounds = [bound.version for bound in requirement.specifier if bound.operator == ">="]
    if len(bounds) != 1:
        raise ValueError(f"'{requirement}' has no single lower bound.")
    return f"{requirement.name}=={bounds[0]}"


if __name__ == "__main__":
    print("\n".join(lowest(requirement) for requirement in requirements()))
