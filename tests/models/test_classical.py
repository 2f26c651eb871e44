"""The classical models against scikit-learn itself and slow loops."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from hsi.datasets.patches import PatchCutter
from hsi.errors import ModelError, RunError
from hsi.models import build_model, model_entry
from hsi.models.classical import Classical
from hsi.models.classical_tuning import RECIPES
from hsi.runs.checkpoint import load_weights, save_weights

KINDS = ["svm", "forest", "logistic", "knn"]
BANDS, CLASSES, PATCH = 6, 4, 5


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small forest is as good a test, and quick."""
    monkeypatch.setattr("hsi.models.classical_tuning.TREES", 25)


def pixels(count: int = 90, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, NDArray[np.int64]]:
    """Return patches of classes 0, 1 and 3, which overlap, their classes, and fields."""
    random = np.random.default_rng(seed)
    targets = random.choice([0, 1, 3], count)
    centres = np.random.default_rng(99).normal(size=(CLASSES, BANDS))
    spectra = centres[targets][:, :, None, None] + random.normal(0, 1.2, (count, BANDS, PATCH, PATCH))
    groups = targets * 10 + random.integers(0, 4, count)
    return torch.from_numpy(spectra.astype(np.float32)), torch.from_numpy(targets), groups


def fitted(kind: str, features: str = "spectrum", *, seed: int = 3, balanced: bool = False) -> Classical:
    """Return a model fitted on `pixels()`."""
    model = build_model(kind, bands=BANDS, classes=CLASSES, patch=PATCH, features=features)
    assert isinstance(model, Classical)
    patches, targets, groups = pixels()
    model.fit(model.extract(patches), targets, groups, seed=seed, balanced=balanced)
    return model


def plain(kind: str, chosen: dict[str, float], seed: int, weight: str | None):
    """The same classifier, written out."""
    if kind == "svm":
        return SVC(C=chosen["C"], gamma=chosen["gamma"], break_ties=True, class_weight=weight)
    if kind == "forest":
        return RandomForestClassifier(n_estimators=25, random_state=seed, class_weight=weight)
    if kind == "logistic":
        return LogisticRegression(C=chosen["C"], max_iter=5000, class_weight=weight)
    return KNeighborsClassifier(n_neighbors=int(chosen["k"]))


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("features", ["spectrum", "spatial"])
@pytest.mark.parametrize("kind", KINDS)
def test_predicts_what_scikit_learn_predicts(kind: str, features: str, balanced: bool) -> None:
    model = fitted(kind, features, balanced=balanced)
    patches, targets, _ = pixels()
    unseen = pixels(400, seed=1)[0]

    def by_hand(x: torch.Tensor) -> NDArray[np.float32]:
        spectrum = x[:, :, PATCH // 2, PATCH // 2].numpy()
        if features == "spectrum":
            return spectrum
        return np.hstack([spectrum, x.numpy().astype(np.float64).mean(axis=(2, 3)).astype(np.float32)])

    weight = "balanced" if balanced and kind != "knn" else None
    estimator = plain(kind, model.chosen, 3, weight).fit(by_hand(patches).astype(float), targets.numpy())
    expected = estimator.predict(by_hand(unseen).astype(float))
    scores = model(unseen)
    assert scores.shape == (400, CLASSES)
    assert scores.dtype == torch.float32
    assert np.array_equal(scores.argmax(dim=1).numpy(), expected)
    assert set(expected) == {0, 1, 3}
    assert torch.isneginf(scores[:, 2]).all()  # no training pixel, so it never wins


@pytest.mark.parametrize("kind", ["forest", "logistic", "knn"])
def test_softmax_of_the_scores_is_the_probability(kind: str) -> None:
    model = fitted(kind)
    unseen = pixels(50, seed=1)[0]
    expected = model.estimator.predict_proba(model.extract(unseen).double().numpy())
    found = torch.softmax(model(unseen), dim=1).numpy()
    assert np.allclose(found[:, [0, 1, 3]], expected, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    patch=st.sampled_from([1, 3, 5, 7]),
    bands=st.integers(1, 4),
    areas=st.booleans(),
    padding=st.sampled_from(["zeros", "reflect"]),
)
def test_the_mean_is_over_the_pixels_that_a_patch_may_see(
    seed: int, patch: int, bands: int, areas: bool, padding: str
) -> None:
    random = np.random.default_rng(seed)
    rows, cols = random.integers(patch, patch + 5, 2)
    cube = random.normal(size=(rows, cols, bands)).astype(np.float32)
    regions = random.integers(0, 3, (rows, cols)) if areas else None
    cutter = PatchCutter(cube, patch, regions=regions, padding=padding)
    model = build_model("knn", bands=bands, classes=2, patch=patch, features="spatial")
    found = model.extract(cutter(np.arange(rows * cols))).numpy()
    for pixel in range(rows * cols):
        row, col = divmod(pixel, cols)
        seen = []
        for r in range(row - patch // 2, row + patch // 2 + 1):
            for c in range(col - patch // 2, col + patch // 2 + 1):
                if padding == "reflect":
                    y, x = (abs(v) if v < n else 2 * (n - 1) - v for v, n in ((r, rows), (c, cols)))
                elif 0 <= r < rows and 0 <= c < cols:
                    y, x = r, c
                else:
                    continue
                if regions is None or regions[y, x] == regions[row, col]:
                    seen.append(cube[y, x].astype(float))
        assert np.array_equal(found[pixel, :bands], cube[row, col])
        assert np.allclose(found[pixel, bands:], np.mean(seen, axis=0), rtol=1e-5, atol=1e-6)


def test_a_centre_of_zeros_counts() -> None:
    patches = torch.zeros(1, 2, 3, 3)
    patches[0, :, 0, 0] = 4
    model = build_model("knn", bands=2, classes=2, patch=3, features="spatial")
    assert model.extract(patches).tolist() == [[0, 0, 2, 2]]


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_it_is_the_same_to_the_bit(kind: str, tmp_path: Path) -> None:
    model = fitted(kind, "spatial")
    unseen = pixels(200, seed=1)[0]
    expected = model(unseen)
    save_weights(tmp_path / "best.safetensors", model, {"epoch": 0})
    kept = model.estimator
    load_weights(tmp_path / "best.safetensors", model)
    assert model.estimator is kept  # its own state costs no second fit

    loaded = build_model(kind, bands=BANDS, classes=CLASSES, patch=PATCH, features="spatial")
    assert load_weights(tmp_path / "best.safetensors", loaded) == {"epoch": 0}
    assert loaded.chosen == model.chosen
    assert torch.equal(loaded(unseen), expected)
    assert torch.equal(torch.cat([loaded(sample) for sample in unseen.split(7)]), expected)
    assert torch.equal(fitted(kind, "spatial")(unseen), expected)


def test_another_state_replaces_the_fitted_one(tmp_path: Path) -> None:
    first, second = fitted("knn"), fitted("knn")
    patches, targets, groups = pixels(40, seed=8)
    second.fit(second.extract(patches), 3 - targets, groups, seed=0, balanced=False)
    unseen = pixels(100, seed=1)[0]
    assert not torch.equal(first(unseen), second(unseen))
    first.load_state_dict(second.state_dict())
    assert torch.equal(first(unseen), second(unseen))


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("svm", {}),
        ("knn", {"features": "spatial"}),
        ("knn", {"bands": BANDS + 1}),
        ("knn", {"classes": CLASSES + 1}),
    ],
)
def test_the_state_of_another_model_is_refused(kind: str, sizes: dict, tmp_path: Path) -> None:
    save_weights(tmp_path / "best.safetensors", fitted("knn"), {})
    other = build_model(kind, **{"bands": BANDS, "classes": CLASSES, "patch": PATCH, **sizes})
    with pytest.raises(RunError, match="belongs to a network of another kind or size"):
        load_weights(tmp_path / "best.safetensors", other)


@pytest.mark.parametrize("kind", KINDS)
def test_a_scikit_learn_that_fits_differently_is_reported(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_weights(tmp_path / "best.safetensors", fitted(kind), {})
    loaded = build_model(kind, bands=BANDS, classes=CLASSES, patch=PATCH)
    load_weights(tmp_path / "best.safetensors", loaded)
    honest = RECIPES[kind].make

    class Other:
        """An estimator that has become worse: it swaps two classes."""

        def __init__(self, estimator: object) -> None:
            self.inner = estimator

        def fit(self, features: np.ndarray, targets: np.ndarray) -> None:
            self.inner.fit(features, np.where(targets < 2, 1 - targets, targets))

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

    recipe = type(RECIPES[kind])(
        lambda *args: Other(honest(*args)), RECIPES[kind].grid, RECIPES[kind].default
    )
    monkeypatch.setitem(RECIPES, kind, recipe)
    monkeypatch.setattr("sklearn.__version__", "99.0")
    with pytest.raises(ModelError, match=r"scikit-learn 99\.0 gives another classifier .* install"):
        loaded(pixels(3)[0])


def test_what_is_wrong_is_one_sentence() -> None:
    sizes = {"bands": 5, "classes": 3, "patch": 3}
    with pytest.raises(ModelError, match="Did you mean 'spatial'"):
        build_model("svm", **sizes, features="spacial")
    with pytest.raises(ModelError, match="odd number of pixels, 1 or more; got 4"):
        build_model("svm", **{**sizes, "patch": 4})
    with pytest.raises(ModelError, match="at least 2 classes"):
        build_model("svm", **{**sizes, "classes": 1})
    with pytest.raises(ModelError, match="at least 1 band"):
        build_model("svm", **{**sizes, "bands": 0})
    with pytest.raises(ModelError, match="has not been fitted"):
        build_model("svm", **sizes)(torch.zeros(1, 5, 3, 3))


def test_all_four_are_baselines_in_the_table() -> None:
    for word, name in (("SVM", "svm"), ("rbf-svm", "svm"), ("random-forest", "forest"), ("k-nn", "knn")):
        assert model_entry(word).name == name
    assert all(model_entry(kind).baseline for kind in KINDS)
    assert model_entry("logistic").options == {"features": "spectrum"}


@pytest.mark.parametrize("name", ["classical", "classical_tuning"])
def test_scikit_learn_is_imported_only_when_it_is_used(name: str) -> None:
    module = importlib.import_module(f"hsi.models.{name}")
    tops = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")).body
    imported = {node.module for node in tops if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in tops if isinstance(node, ast.Import) for alias in node.names}
    assert "numpy" in imported
    assert not any(str(word).startswith("sklearn") for word in imported)
