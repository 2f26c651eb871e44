"""Classes left out of training: the script that measures the scores, the choice among them, the chapter."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import hsi
from experiments import left_out_classes as script
from experiments.pages import left_out as chapter
from experiments.pages import results
from hsi.confidence.novelty import FEATURE_SCORES, LOGIT_SCORES

MODELS = """
[defaults]
protocol = "disjoint"
patch = 3
batch = 16
[protocols.disjoint-long]
scheme = "disjoint"
train = 0.3
val = 0.2
[models.cnn1d]
[models.knn]
[scenes.here]
dataset = "{scene}"
"""


def rows_in(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_class_is_left_out_once_by_each_model(tmp_path, monkeypatch, small_scene, capsys):
    (tmp_path / "results").mkdir()
    (tmp_path / "real_small.toml").write_text(MODELS.format(scene=small_scene))
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "MODELS", ("cnn1d", "knn"))
    monkeypatch.setattr(script, "SCENES", {"here": 2})
    monkeypatch.setattr(script, "SEEDS", (7,))
    table, runs = tmp_path / "results" / "left_out_classes.csv", tmp_path / "runs"
    assert script.main(["--runs", str(runs)]) == 0
    rows, written = rows_in(table), table.read_bytes()
    scene = hsi.load_scene(str(small_scene))
    of_spectrum = [f"spectrum, {name}" for name in FEATURE_SCORES]
    expected = {
        "cnn1d": [*LOGIT_SCORES, *of_spectrum, *(f"features, {name}" for name in FEATURE_SCORES)],
        "knn": [*LOGIT_SCORES, *of_spectrum],
    }
    for number in range(1, scene.classes + 1):
        for model, scores in expected.items():
            own = [row for row in rows if (row["class"], row["model"]) == (str(number), model)]
            assert [row["score"] for row in own] == scores
            run = hsi.open_run(runs / "here" / model / f"class{number}-seed7")
            counts = run.split.class_counts(scene)
            assert counts["train"][number - 1] == counts["val"][number - 1] == 0
            confusion = np.array(run.scores["test"].confusion)
            known = np.delete(confusion, number - 1, axis=0)
            right = np.trace(confusion) - confusion[number - 1, number - 1]
            for row in own:
                assert row["name"] == scene.class_names[number - 1]
                assert int(row["left_out_pixels"]) == counts["test"][number - 1]
                assert (int(row["known_pixels"]), int(row["right_pixels"])) == (known.sum(), right)
                assert int(row["wrong_pixels"]) == known.sum() - right
                shares = [float(row[f"{part}_rejected"] or 0) for part in ("known", "right", "wrong")]
                pixels = [int(row[f"{part}_pixels"]) for part in ("known", "right", "wrong")]
                assert shares[0] * pixels[0] == pytest.approx(
                    shares[1] * pixels[1] + shares[2] * pixels[2], abs=0.01
                )
    by_model = [
        [
            (row["class"], row["auroc"])
            for row in rows
            if row["model"] == model and row["score"] in of_spectrum
        ]
        for model in expected
    ]
    assert by_model[0] == by_model[1]  # the spectrum does not depend on the model

    said = capsys.readouterr().out
    assert script.main(["--runs", str(tmp_path / "none")]) == 0
    assert (said.count("done"), capsys.readouterr().out) == (2 * scene.classes, "")
    assert table.read_bytes() == written
    page = chapter.chapter(tmp_path)
    assert f"{2 * scene.classes} trainings ({scene.classes} cnn1d, {scene.classes} knn; here; seed 7)" in page
    assert page in next(iter(results.outputs(tmp_path))).text
    assert "nan" not in page
    table.unlink()
    assert script.main(["--runs", str(runs)]) == 0  # from the finished runs
    assert table.read_bytes() == written


def row(score, model, scene, number, auroc, rejected=0.5):
    facts = (scene, model, "0", str(number), f"Class {number}", score, str(auroc))
    shares = {f"{part}_rejected": str(rejected) for part in ("left_out", "known", "right")}
    pixels = {f"{part}_pixels": "10" for part in ("left_out", "known", "right", "wrong")}
    return {
        **dict.fromkeys(chapter.COLUMNS, ""),
        **dict(zip(chapter.COLUMNS, facts, strict=False)),
        **shares,
        **pixels,
    }


def test_the_score_is_chosen_on_odd_classes_among_those_that_all_models_have():
    rows = []
    for model in ("a", "b"):
        rows += [row("energy", model, "s", 1, 0.9), row("energy", model, "s", 2, 0.1)]
        rows += [row("entropy", model, "s", 1, 0.2), row("entropy", model, "s", 2, 1.0)]
    rows += [row("features, neighbours", "a", "s", number, 0.99) for number in (1, 2)]
    assert chapter.chosen_score(rows) == "energy"


def test_scenes_weigh_the_same_whatever_their_classes():
    rows = [row("energy", "a", "large", number, 0.5) for number in (1, 3, 5, 7)]
    rows += [row("energy", "a", "small", 1, 0.9), row("entropy", "a", "small", 1, 0.65)]
    rows += [row("entropy", "a", "large", number, 0.65) for number in (1, 3, 5, 7)]
    assert chapter.chosen_score(rows) == "energy"  # 0.7; with classes weighing the same, 0.58


def test_the_chapter_shows_the_other_half(tmp_path):
    (tmp_path / "results").mkdir()
    assert chapter.chapter(tmp_path) == ""
    rows = [row("energy", "a", "s", number, auroc, share) for number, auroc, share in
            ((1, 0.9, 0.2), (2, 0.7, 0.4), (4, 0.8, 0.6))]  # fmt: skip
    rows += [row("energy", "b", "s", number, 0.6) for number in (1, 2, 4)]
    with (tmp_path / "results" / "left_out_classes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, chapter.COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    page = chapter.chapter(tmp_path)
    assert "| **energy** | 0.900 | 0.750 | 0.600 | 0.600 |" in page
    assert "| s | a | 2 | 0.750 | 50.0 | 50.0 | 50.0 |  |" in page
    assert "| s | 4 Class 4 | 10 | 0.800 (60, 60) | 0.600 (50, 50) |" in page
