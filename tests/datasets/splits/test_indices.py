from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import Split, hash_labels
from hsi.datasets.splits.schemes import SCHEMES, make_split
from hsi.errors import InputError, SplitError

LABELS = np.zeros((40, 30), np.int64)
LABELS[2:18, 2:28], LABELS[22:38, 2:14], LABELS[22:38, 17:28] = 1, 2, 3
SCENE = SimpleNamespace(labels=LABELS, class_names=("Corn", "Oats", "Hay"))
TRAIN = np.where(np.arange(30) < 8, LABELS, 0) + np.where(np.arange(30) > 24, LABELS, 0)
NEEDS: dict[str, dict[str, Any]] = {"per-class": {"per_class": 20}, "mask": {"masks": {"train": TRAIN}}}


def of(scheme: str, **options: Any) -> Split:
    return make_split(SCENE, scheme=scheme, **{**NEEDS.get(scheme, {}), **options})


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_uses_each_labelled_pixel_once(scheme: str) -> None:
    split = of(scheme, seed=3)
    together = np.concatenate([split.train, split.val, split.test])
    assert np.array_equal(np.sort(together), np.flatnonzero(LABELS))
    assert split.counts == {"train": len(split.train), "val": len(split.val), "test": len(split.test)}
    assert split.unused == 0
    assert (split.scheme, split.seed, split.patch) == (scheme, 3, 11)
    for subset in (split.train, split.val, split.test):
        assert subset.dtype == np.int64
        assert (np.diff(subset) > 0).all()
        assert not subset.flags.writeable
    counts = split.class_counts(SCENE)
    assert np.sum(list(counts.values()), axis=0).tolist() == [416, 192, 176]
    leakage = split.leakage()
    assert (leakage.centre, leakage.overlap) == (
        (0, 0) if scheme == "disjoint" else (split.leakage(11).centre, 1)
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_seed_decides(scheme: str) -> None:
    first, again, other = of(scheme, seed=1), of(scheme, seed=1), of(scheme, seed=2)
    assert all(np.array_equal(getattr(first, p), getattr(again, p)) for p in ("train", "val", "test"))
    assert not np.array_equal(first.train, other.train)


def test_defaults_and_regions() -> None:
    assert of("random").counts["train"] == 79  # 42 + 19 + 18
    assert of("paper").counts["train"] == 784 - 166 - 76 - 70
    split = of("disjoint")
    assert split.guard == "mask"
    assert split.regions is not None
    assert split.patch_regions is split.regions
    dropped = of("disjoint", guard="drop", patch=3)
    assert dropped.guard == "drop"
    assert dropped.regions is not None
    assert dropped.patch_regions is None
    assert dropped.leakage(3).overlap == 0
    assert dropped.leakage(7).overlap > 0
    assert of("random").guard is None
    assert of("random").regions is None


def test_takes_a_scene_and_column_major_labels_of_any_integer_type() -> None:
    scene = Scene("s", np.zeros((40, 30, 3)), LABELS, SCENE.class_names, ("#000000",) * 3)
    column_major = SimpleNamespace(
        labels=np.asfortranarray(LABELS.astype(np.uint8)), class_names=SCENE.class_names
    )
    for scheme in SCHEMES:
        expected = of(scheme)
        for other in (scene, column_major):
            found = make_split(other, scheme=scheme, **NEEDS.get(scheme, {}))
            assert np.array_equal(expected.train, found.train)
            assert np.array_equal(expected.val, found.val)
            assert expected.labels_sha256 == found.labels_sha256


def test_the_hash_is_of_shape_and_values() -> None:
    labels = np.array([[0, 1, 2], [3, 0, 300]])
    expected = hashlib.sha256(b"(2, 3)" + b"".join(int(v).to_bytes(8, "little") for v in labels.ravel()))
    assert hash_labels(labels) == expected.hexdigest()
    assert hash_labels(labels.astype(np.uint16)) == hash_labels(labels)
    assert hash_labels(labels.reshape(3, 2)) != hash_labels(labels)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_saved_and_loaded_it_is_the_same(tmp_path: Path, scheme: str) -> None:
    split = of(scheme, seed=5)
    split.save(tmp_path / "split")
    assert [path.name for path in tmp_path.iterdir()] == ["split"]
    with np.load(tmp_path / "split", allow_pickle=False) as file:
        assert all(array.dtype.kind in "iubU" for array in file.values())
    loaded = Split.load(str(tmp_path / "split"))
    for name in Split.__dataclass_fields__:
        one, two = getattr(split, name), getattr(loaded, name)
        assert np.array_equal(one, two) if isinstance(one, np.ndarray) else one == two
    loaded.check(SCENE)
    assert loaded.leakage() == split.leakage()


def test_a_split_says_which_fold_it_is(tmp_path: Path) -> None:
    split = make_split(SCENE, scheme="disjoint", folds=4, fold=2, patch=5)
    split.save(tmp_path / "fold.npz")
    loaded = Split.load(tmp_path / "fold.npz")
    assert (loaded.scheme, loaded.folds, loaded.fold) == ("disjoint", 4, 2)
    assert (of("disjoint").folds, of("disjoint").fold) == (None, None)


def test_a_file_written_before_there_were_folds_still_loads(tmp_path: Path) -> None:
    split = of("disjoint")
    split.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as file:
        arrays = dict(file)
    about = json.loads(str(arrays["about"]))
    arrays["about"] = np.array(json.dumps({k: v for k, v in about.items() if k not in ("folds", "fold")}))
    np.savez(tmp_path / "old.npz", **arrays)
    assert np.array_equal(Split.load(tmp_path / "old.npz").train, split.train)


def test_a_split_belongs_to_its_labels() -> None:
    split = of("random")
    changed = LABELS.copy()
    changed[5, 5] = 2
    for labels in (changed, LABELS[:-1]):
        with pytest.raises(SplitError, match="made for another label map"):
            split.check(SimpleNamespace(labels=labels, class_names=SCENE.class_names))


@pytest.mark.parametrize("content", [None, b"", b"no archive", "other arrays", "cut short", "tampered"])
def test_refuses_to_load_what_is_no_split(tmp_path: Path, content: object) -> None:
    path = tmp_path / "split.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "other arrays":
        np.savez(path, train=np.arange(3))
    elif content is not None:
        of("random").save(path)
        if content == "cut short":
            path.write_bytes(path.read_bytes()[:-40])
        else:
            arrays = dict(np.load(path))
            np.savez(path, **{**arrays, "val": arrays["test"]})
    with pytest.raises(SplitError, match=r"no split file|not a split file|more than once"):
        Split.load(path)


def test_an_unwritable_place_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    split = of("random")
    with pytest.raises(SplitError, match="Cannot write the split to"):
        split.save(tmp_path / "absent" / "split.npz")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SplitError, match="Cannot write the split to"):
        split.save(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def made(**options: Any) -> Split:
    subsets = {"train": [62, 63], "val": [64], "test": [65, 66]}
    about = {"labelled": LABELS > 0, "labels_sha256": "", "scheme": "random", "patch": 3, "seed": 0}
    every: dict[str, Any] = {**subsets, **about, **options}
    return Split(**every)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val": [63]}, "1 pixels are used more than once"),
        ({"train": [62, 62]}, "1 pixels are used more than once"),
        ({"test": [0]}, "unlabelled test pixels"),
        ({"test": [-1]}, "lie outside its scene"),
        ({"test": [1200]}, "lie outside its scene"),
        ({"val": []}, "leaves no val pixel"),
        ({"patch": 4}, "odd number of pixels, 1 or more; got 4"),
        ({"regions": np.ones((40, 30))}, "val pixels outside the val region"),
        ({"regions": np.ones((4, 3))}, "region map"),
    ],
)
def test_checks_itself_at_every_construction(options: dict[str, Any], message: str) -> None:
    made()
    with pytest.raises(SplitError, match=message):
        made(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": -0.1}, "train fraction must lie between 0 and 1"),
        ({"train": 0}, "train fraction must lie between 0 and 1"),
        ({"train": 1.5}, "train fraction must lie between 0 and 1"),
        ({"train": float("nan")}, "train fraction must lie between 0 and 1"),
        ({"val": 0}, "val fraction must lie between 0 and 1"),
        ({"val": 2, "scheme": "per-class", "per_class": 5}, "val fraction"),
        ({"train": 0.6, "val": 0.4}, "leave nothing for test"),
        ({"train": 0.7, "val": 0.2 + 0.1}, "leave nothing for test"),
        ({"patch": 8}, "odd number of pixels, 1 or more; got 8"),
        ({"patch": 0}, "odd number"),
        ({"patch": -5}, "odd number"),
        ({"patch": 31}, "wider than the scene .40x30."),
        ({"seed": -1}, "seed must be an integer"),
        ({"seed": 1.5}, "seed must be an integer"),
        ({"scheme": "disjont"}, "Did you mean 'disjoint'"),
        ({"scheme": "disjoint", "guard": "masks"}, "Did you mean 'mask'"),
        ({"guard": "mask"}, "'guard' has no meaning for scheme 'random'.* use scheme 'disjoint'"),
        ({"scheme": "paper", "per_class": 5}, "'per_class' has no meaning for scheme 'paper'"),
        (
            {"scheme": "per-class", "per_class": 5, "train": 0.1},
            "'train' has no meaning for scheme 'per-class'",
        ),
        ({"masks": {"train": TRAIN}}, "'masks' has no meaning for scheme 'random'"),
        ({"folds": 5, "fold": 0}, "'folds' has no meaning for scheme 'random'.* use scheme 'disjoint'"),
        ({"scheme": "disjoint", "folds": 5}, "Say which of the 5 folds is tested, with fold from 0 to 4"),
        ({"scheme": "disjoint", "fold": 0}, "give 'folds', their number, too"),
        ({"scheme": "disjoint", "folds": 1, "fold": 0}, "integer from 2 to 100, not 1"),
        ({"scheme": "disjoint", "folds": 2.5, "fold": 0}, "integer from 2 to 100, not 2.5"),
        ({"scheme": "disjoint", "folds": 5, "fold": 5}, "fold must be an integer from 0 to 4, not 5"),
        ({"scheme": "disjoint", "folds": 5, "fold": True}, "fold must be an integer from 0 to 4, not True"),
        ({"scheme": "disjoint", "folds": 5, "fold": 0, "val": 0.1}, "'val' does not go with folds"),
        ({"scheme": "disjoint", "folds": 5, "fold": 0, "guard": "band"}, "Unknown guard 'band'"),
        ({"scheme": "mask"}, "needs masks"),
        ({"scheme": "per-class"}, "needs per_class"),
        ({"scheme": "per-class", "per_class": 0}, "integer of 1 or more"),
        ({"scheme": "per-class", "per_class": 2.5}, "integer of 1 or more"),
        ({"scheme": "per-class", "per_class": 416}, "the largest class has 416 pixels; ask for at most 208"),
    ],
)
def test_refuses_wrong_options_in_one_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SplitError, match=message) as caught:
        make_split(SCENE, **options)
    assert isinstance(caught.value, InputError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS * 0, "no labelled pixels"),
        (LABELS[0], "2-D integer map"),
        (LABELS / 2, "2-D integer map .rows, cols., not 2-D float64"),
        (-LABELS, "smallest is -3"),
        (np.eye(12, dtype=int)[:, ::-1] * np.arange(1, 13), "leaves no val pixel"),
    ],
)
def test_refuses_labels_that_cannot_be_split(labels: np.ndarray, message: str) -> None:
    with pytest.raises(SplitError, match=message):
        make_split(SimpleNamespace(labels=labels, class_names=()), patch=3)


def test_names_classes_without_pixels() -> None:
    scene = SimpleNamespace(labels=LABELS, class_names=(*SCENE.class_names, "Wheat"))
    assert make_split(scene).notes == ("No labelled pixel of: Wheat.",)
    assert make_split(SimpleNamespace(labels=LABELS, class_names=())).notes == ()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(1, 4),
    scheme=st.sampled_from(["random", "paper", "per-class"]),
    train=st.floats(0.05, 0.85),
)
def test_any_map_is_split_or_refused(seed: int, classes: int, scheme: str, train: float) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes + 1, random.integers(1, 9, 2))
    options: dict[str, Any] = {"per_class": 2} if scheme == "per-class" else {"train": train}
    try:
        split = make_split(
            SimpleNamespace(labels=labels, class_names=()),
            scheme=scheme,
            val=0.1,
            patch=1,
            seed=seed,
            **options,
        )
    except SplitError:
        total = np.bincount(labels.ravel())[1:]
        assert not total.sum() or total.max() < 10 or scheme == "paper" or labels.size < 12
        return
    together = np.concatenate([split.train, split.val, split.test])
    assert np.array_equal(np.sort(together), np.flatnonzero(labels))
