"""Runs of a sweep joined split by split: the scores, which rows the table keeps, and what is refused."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

import hsi
from experiments import joined
from experiments.pages.recipes import JOINED_COLUMNS
from hsi.errors import ConfigError, FileFormatError, RunError
from hsi.sweep.results import COLUMNS

OPTIONS = {"protocol": "disjoint", "scheme": "disjoint", "train": 0.3, "val": 0.2, "patch": 3}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def accuracies(truth: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Return OA and AA, counted one class at a time."""
    of_classes = [(found[truth == label] == label).mean() for label in np.unique(truth)]
    return float((found == truth).mean()), float(np.mean(of_classes))


@pytest.fixture
def noisy_scene(small_scene) -> Path:
    """A scene whose pixels alone do not tell its classes for sure."""
    path = small_scene.parent / "cube.npy"
    cube = np.load(path)
    noise = np.random.default_rng(3).normal(0, 500, cube.shape)
    np.save(path, (cube + noise).clip(0).round().astype(cube.dtype))
    return small_scene


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr(joined, "RESULTS", folder)
    return folder


def test_runs_of_a_sweep_are_joined_split_by_split(tmp_path, results, noisy_scene, capsys):
    sweep = tmp_path / "sweeps" / "tiny"
    place = sweep / "here" / "disjoint"
    runs = {
        (model, seed): hsi.train(
            model=model, dataset=str(noisy_scene), **OPTIONS, seed=seed, out=place / model / f"seed{seed}"
        )
        for model, seed in (("svm", 0), ("svm", 1), ("knn", 0))  # knn has not come to the second split
    }
    scene = hsi.load_scene(str(noisy_scene))
    table = results / "joined-tiny.csv"
    with pytest.raises(ConfigError, match="Name the models to join"):
        joined.main([str(sweep)])
    assert joined.main([str(sweep), "svm+knn"]) == 0
    assert capsys.readouterr().out.splitlines() == ["here/disjoint, svm+knn, seed0: done"]

    (row,) = rows_of(table)
    assert tuple(row) == JOINED_COLUMNS
    assert (row["scene"], row["protocol"], row["label"], row["seed"]) == ("here", "disjoint", "svm+knn", "0")
    members = [runs["svm", 0], runs["knn", 0]]
    test = members[0].split.test
    truth = scene.labels.ravel()[test]
    assert int(row["test_pixels"]) == len(test)
    parts = [run.postprocessing.calibration(run.logits_of(scene, test)) for run in members]
    alone = accuracies(truth, np.mean(parts, axis=0).argmax(axis=1) + 1)
    assert (float(row["oa_unsmoothed"]), float(row["aa_unsmoothed"])) == pytest.approx(alone, abs=1e-6)
    plain = hsi.ensemble(members).evaluate(scene, smooth="none").scores()
    assert float(row["oa_unsmoothed"]) == pytest.approx(plain.oa, abs=1e-6)
    smoothed = hsi.ensemble(members).predict(scene, smooth="auto").ravel()[test]
    assert (float(row["oa"]), float(row["aa"])) == pytest.approx(accuracies(truth, smoothed), abs=1e-6)
    assert row["smoothing"] != "none"
    assert 0 < alone[0] < 1
    assert row["oa"] != row["oa_unsmoothed"]
    assert 0 <= float(row["calibration_error"]) <= 1
    assert (row["leakage_centre"], row["leakage_overlap"]) == ("0.000000", "0.000000")

    # As `hsi sweep` writes the splits, so that rows of both tables are matched.
    facts = {**runs["svm", 0].metrics, "config": runs["svm", 0].config.as_dict()}
    for name in ("scheme", "guard", "split_mask", "seed", "fold", "train_pixels", "test_pixels"):
        assert row[name] == COLUMNS[name](facts)

    written = table.read_bytes()
    shutil.move(place / "knn" / "seed0", place / "knn" / "away")  # as on another machine
    hsi.train(model="knn", dataset=str(noisy_scene), **OPTIONS, seed=1, out=place / "knn" / "seed1")
    assert joined.main([str(sweep)]) == 0  # what the table has
    assert [found["seed"] for found in rows_of(table)] == ["0", "1"]
    assert rows_of(table)[0] == row
    shutil.move(place / "knn" / "away", place / "knn" / "seed0")
    both = table.read_bytes()
    assert joined.main([str(sweep), "svm+knn"]) == 0
    assert table.read_bytes() == both != written


def finished(sweep: Path, *names: str) -> None:
    for name in names:
        (sweep / name).mkdir(parents=True)
        (sweep / name / "metrics.json").touch()


def test_only_splits_that_all_models_have_are_joined(tmp_path):
    finished(
        tmp_path,
        *("b/p/svm/seed0", "b/p/svm/seed1-fold2", "b/p/knn/seed1-fold2", "a/p/svm/seed3", "a/p/knn/seed3"),
        *("a/p/forest/seed3", "c/q/svm/seed0", "c/p/knn/seed0"),
    )
    (tmp_path / "b" / "p" / "knn" / "seed0").mkdir()  # begun only
    found = [
        (str(place), label, [path.relative_to(tmp_path).as_posix() for path in paths])
        for place, label, paths in joined.splits(tmp_path, ["svm+knn", "forest+knn"])
    ]
    assert found == [
        ("a/p", "svm+knn", ["a/p/svm/seed3", "a/p/knn/seed3"]),
        ("a/p", "forest+knn", ["a/p/forest/seed3", "a/p/knn/seed3"]),
        ("b/p", "svm+knn", ["b/p/svm/seed1-fold2", "b/p/knn/seed1-fold2"]),
    ]


@pytest.mark.parametrize(
    ("label", "error", "message"),
    [
        ("svm", ConfigError, "Join different models, such as svm.densenet3d, not 'svm'"),
        ("svm+svm", ConfigError, "Join different models"),
        ("svm+knnn", RunError, "no finished run of 'knnn'. Did you mean 'knn'"),
        ("svm+knn", RunError, "have no split in .* on which all are finished"),
    ],
)
def test_what_cannot_be_joined_is_said(tmp_path, results, label, error, message):
    with pytest.raises(RunError, match="There is no finished run SCENE/PROTOCOL/MODEL/seedN"):
        joined.main([str(tmp_path), "svm+knn"])
    finished(tmp_path, "a/p/svm/seed0", "a/p/knn/seed1")
    with pytest.raises(error, match=message) as raised:
        joined.main([str(tmp_path), label])
    assert str(raised.value).count("\n") == 0
    assert not list(results.iterdir())


def test_another_table_is_refused(tmp_path, results):
    (results / f"joined-{tmp_path.name}.csv").write_text("a,b\n1,2\n")
    with pytest.raises(
        FileFormatError, match=r"lacks the column 'scene'; write it anew with 'experiments\.joined'"
    ):
        joined.main([str(tmp_path), "svm+knn"])


def row(scene: str, label: str, seed: int, oa: str = "") -> dict[str, str]:
    facts = {"scene": scene, "protocol": "p", "label": label, "seed": str(seed), "oa": oa}
    return {**dict.fromkeys(JOINED_COLUMNS, ""), **facts}


def test_a_new_row_takes_the_place_of_its_split_alone():
    recorded = [row("s", "a+b", 2), row("s", "a+b", 10), row("s", "a+c", 2), row("t", "a+b", 2)]
    made = joined.merged([row("s", "a+b", 10, "0.9"), row("s", "a+b", 9, "0.8")], recorded)
    assert made == [
        row("s", "a+b", 2),
        row("s", "a+b", 9, "0.8"),
        row("s", "a+b", 10, "0.9"),
        row("s", "a+c", 2),
        row("t", "a+b", 2),
    ]
