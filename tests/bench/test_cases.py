"""The references: each is the same function as ours, and none is shipped."""

from __future__ import annotations

import dataclasses
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import torch
from torch import nn

import hsi
from hsi.bench.cases import CASES, Case, find_references, load_references
from hsi.bench.comparisons import TOLERANCE, check_difference, float64_difference, relative_difference
from hsi.bench.setting import Scale, Setting
from hsi.errors import ConfigError, HsiError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(hsi.__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / "references"
TINY = Scale(bands=14, classes=3, patch=9, batch=3, large_batch=2, small_batch=2, rounds=1, seconds=0)

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the references are only in a checkout")


@pytest.mark.parametrize("name", CASES)
def test_same_function_as_ours(name: str) -> None:
    """The two are written apart, so each is an oracle for the other."""
    found = float64_difference(CASES[name], TINY, Setting("cpu", 1, references=FOLDER))
    assert found <= TOLERANCE["float64"]


class Skewed(nn.Module):
    """A reference whose gradient alone is wrong, by a thousandth."""

    def __init__(self, ours: nn.Module) -> None:
        super().__init__()
        self.ours = ours

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.ours(x)
        return y * 1.001 - 0.001 * y.detach()


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsi.bench.cases.load_references", lambda folder: {"wavelet": Skewed})
    found = float64_difference(CASES["wavelet"], TINY, Setting("cpu", 1))
    assert found == pytest.approx(1e-3, rel=2e-3)
    with pytest.raises(HsiError, match=r"WaveletConv3d.*differ by 1\.0e-03 in float64"):
        check_difference(CASES["wavelet"].title, found, "float64")
    with pytest.raises(HsiError, match="no reference for 'kan'"):
        float64_difference(CASES["kan"], TINY, Setting("cpu", 1))


def test_nan_is_a_difference() -> None:
    found = relative_difference(torch.tensor([1.0, float("nan")]), torch.ones(2))
    with pytest.raises(HsiError, match="differ by nan"):
        check_difference("Something", found, "bf16")
    assert relative_difference(torch.zeros(2), torch.zeros(2)) == 0
    assert relative_difference(torch.tensor([3.0]), torch.tensor([2.0])) == 0.5
    assert relative_difference(torch.tensor([1e-9]), torch.tensor([0.0]), floor=1e-3) == pytest.approx(1e-6)


def test_every_case_has_a_reference_of_other_code() -> None:
    table = load_references(FOLDER)
    assert set(table) == set(CASES)
    for name, case in CASES.items():
        ours = case.build(TINY)
        assert type(table[name](ours)) is not type(ours)


def test_knots_of_the_kan_cases_are_not_uniform() -> None:
    torch.manual_seed(0)
    grid = CASES["kan"].build(TINY).get_buffer("grid")
    steps = grid.diff(dim=1)
    assert bool((steps > 0).all())
    assert float(steps.max() / steps.min()) > 2


def test_shapes_follow_the_scale() -> None:
    full = Scale()
    assert CASES["kan"].shape(full) == (16, 28, 100, 6, 6)
    assert CASES["kan-3x3x3"].shape(full) == (2, 28, 100, 6, 6)
    assert CASES["backbone-step"].shape(full) == (64, 200, 11, 11)
    assert dataclasses.replace(full, bands=103, patch=17).block == (52, 9, 9)
    assert isinstance(CASES["kan"], Case)


def test_found_beside_the_checkout() -> None:
    assert find_references() == FOLDER


def test_folders_that_are_no_references(tmp_path: Path) -> None:
    assert load_references(None) == {}
    with pytest.raises(ConfigError, match=r"no __init__\.py"):
        load_references(tmp_path)
    (tmp_path / "__init__.py").write_text("X = 1\n")
    with pytest.raises(ConfigError, match="no table REFERENCES"):
        load_references(tmp_path)
    (tmp_path / "__init__.py").write_text("from .other import X\nREFERENCES = {'kan': X}\n")
    (tmp_path / "other.py").write_text("X = 2\n")
    assert dict[str, object](load_references(tmp_path)) == {"kan": 2}


def test_references_are_not_in_the_package() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = config["tool"]["setuptools"]["packages"]["find"]["include"]
    names = ["benchmarks", "benchmarks.references"]
    assert not [n for n in names for pattern in included if fnmatchcase(n, pattern)]
    assert any(fnmatchcase("hsi.bench", pattern) for pattern in included)
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "hsi").rglob("*.py")]
    assert not any("import benchmarks" in source for source in sources)
