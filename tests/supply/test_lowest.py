"""The lower bounds of the dependencies, which `make test-lowest` installs and tests with."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from packaging.requirements import Requirement

SCRIPT = runpy.run_path(str(Path(__file__).with_name("lowest.py")))
lowest, requirements = SCRIPT["lowest"], SCRIPT["requirements"]


def test_every_dependency_has_one_lower_bound_and_no_upper() -> None:
    found = list(requirements())
    assert {"torch", "numpy", "rasterio"} <= {requirement.name for requirement in found}
    for requirement in found:
        assert [bound.operator for bound in requirement.specifier] == [">="], requirement


def test_lowest_is_the_bound() -> None:
    assert lowest(Requirement("a>=1.2")) == "a==1.2"
    with pytest.raises(ValueError, match="no single lower bound"):
        lowest(Requirement("a<2"))
