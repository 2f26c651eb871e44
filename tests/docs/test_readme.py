"""README.md's pictures and sample output: drawn from two runs, small, and put between its markers."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import hsi
from docs import make_readme_picture as script

ROOT = Path(hsi.__file__).resolve().parent.parent
README = ROOT / "README.md"


def test_the_sample_stands_between_its_markers():
    text = README.read_text(encoding="utf-8")
    assert all(f"\n$ {command}\n" in text for command in script.COMMANDS)
    once = script.with_sample(text, "```console\n$ hsi\n```\n")
    assert script.with_sample(once, "```console\n$ hsi\n```\n") == once
    assert once.startswith(text.partition(script.START)[0])
    assert once.endswith(text.partition(script.END)[2])
    with pytest.raises(ValueError, match="each"):
        script.with_sample("no markers", "")


def test_all_epochs_but_the_first_and_the_last_are_dots():
    lines = ["note: x  ", *(f"epoch {number}/9  loss 1" for number in range(1, 10)), "OA"]
    assert script.shortened(lines) == [
        "note: x",
        "epoch 1/9  loss 1",
        "...",
        "epoch 9/9  loss 1",
        "OA",
    ]
    assert script.shortened(["epoch 1/2", "epoch 2/2"]) == ["epoch 1/2", "epoch 2/2"]


def test_the_pictures_of_the_page_are_small():
    for name in ("readme-overview", "readme-leakage"):
        path = script.PICTURES / f"{name}.png"
        assert path.stat().st_size <= 200_000
        with Image.open(path) as image:
            assert image.width == pytest.approx(script.WIDTH * script.DPI, abs=2)
        assert f"docs/pictures/{name}.png" in README.read_text(encoding="utf-8")


def test_pictures_are_drawn_from_two_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(script, "PICTURES", tmp_path / "pictures")
    options = {"model": "knn", "dataset": "demo", "pca": 4, "patch": 5, "train": 0.1, "val": 0.05}
    unseen = hsi.train(**options, scheme="disjoint", out=tmp_path / "first")
    random = hsi.train(**options, scheme="random", out=tmp_path / "random")
    figure = script.overview(unseen, random)
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes]
    assert f"Unseen land: OA {100 * unseen.scores['test'].oa:.1f} %" in titles
    drawn = {container.get_label(): container for container in figure.axes[-1].containers}
    for run, name in ((random, "random split"), (unseen, "separate regions")):
        line = drawn[f"{name}: OA {100 * run.scores['test'].oa:.1f} %"][0]
        bins = [one for one in hsi.accuracy_by_distance(run) if one.pixels >= script.LEAST_PIXELS]
        assert list(line.get_ydata()) == pytest.approx([100 * one.right / one.pixels for one in bins])
    script.save(figure, "one")
    script.save(script.leakage(unseen, random), "two")
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"one.png", "two.png"}
