"""Which weights a training keeps: the script that measures what could be kept, the rules, the chapter."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import hsi
from experiments import checkpoint_rules as script
from experiments.pages import checkpoints as chapter
from experiments.pages import results

MODELS = """
[defaults]
protocol = "disjoint"
patch = 3
batch = 16
ema = 0.9
[protocols.disjoint]
scheme = "disjoint"
train = 0.3
val = 0.2
[models.cnn1d]
[scenes.here]
dataset = "{scene}"
"""


def rows_in(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def root(tmp_path, monkeypatch, small_scene):
    """A folder of experiments with one network and one scene."""
    (tmp_path / "results").mkdir()
    (tmp_path / "real_small.toml").write_text(MODELS.format(scene=small_scene))
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "NETWORKS", ("cnn1d",))
    monkeypatch.setattr(script, "SCENES", {"here": 4})
    monkeypatch.setattr(script, "SEEDS", (0, 1))
    return tmp_path


def test_all_weights_of_each_training_are_scored_once(root, capsys):
    table = root / "results" / "checkpoint_rules.csv"
    assert script.main(["--runs", str(root / "runs")]) == 0
    rows, written = rows_in(table), table.read_bytes()
    expected = [("plain", 1)] * 4 + [("plain", 2), ("plain", 4)] + [("ema", 1)] * 4 + [("ema", 3)]
    assert [(row["weights"], int(row["averaged"])) for row in rows] == 2 * expected
    for seed in (0, 1):
        run = hsi.open_run(root / "runs" / "here" / "cnn1d" / f"seed{seed}")
        own = [row for row in rows if row["seed"] == str(seed)]
        averages = [row for row in own if (row["weights"], row["averaged"]) == ("ema", "1")]
        for row, epoch in zip(averages, run.history, strict=True):  # the loop validates the average
            assert float(row["val_oa"]) == pytest.approx(epoch["val_oa"], abs=1e-6)
            assert float(row["val_loss"]) == pytest.approx(epoch["val_loss"], abs=1e-5)
        kept = chapter.RULES[chapter.USUAL].keep(own)
        assert float(kept["test_oa"]) == pytest.approx(run.scores["test"].oa, abs=1e-6)
        assert float(kept["test_aa"]) == pytest.approx(run.scores["test"].aa, abs=1e-6)
    said = capsys.readouterr().out
    assert script.main(["--runs", str(root / "none")]) == 0
    assert table.read_bytes() == written
    assert (said.count("done"), capsys.readouterr().out) == (2, "")

    page = chapter.chapter(root)
    assert "2 trainings (cnn1d 2) of 4 epochs on here, seeds 0, 1," in page
    assert page in next(iter(results.outputs(root))).text
    assert "nan" not in page


def test_the_mean_of_weights_leaves_counters_alone():
    states = [{"w": torch.full((2,), float(k)), "n": torch.tensor(k)} for k in (1, 2, 6)]
    mean = script.mean_state(states)
    assert torch.equal(mean["w"], torch.full((2,), 3.0))
    assert mean["n"].item() == 6


def test_fields_of_one_size_give_the_textbook_standard_error():
    random = np.random.default_rng(0)
    right = random.random((7, 5)) < random.random((7, 1))
    field = np.repeat([4, 9, 2, 30, 8, 1, 0], 5)
    found = script.error_by_fields(right.ravel(), field)
    assert found == pytest.approx(right.mean(axis=1).std(ddof=1) / math.sqrt(7))
    assert math.isnan(script.error_by_fields(right[0], field[:5]))


def test_the_standard_error_is_that_of_repeated_draws_of_fields():
    """Fields of unequal sizes, drawn again and again: the spread of their OA is what the formula says."""
    random = np.random.default_rng(1)
    found, errors = [], []
    for _ in range(400):
        sizes = random.integers(5, 40, 60)
        field = np.repeat(np.arange(60), sizes)
        right = random.random(len(field)) < np.repeat(random.beta(2, 1, 60), sizes)
        found.append(right.mean())
        errors.append(script.error_by_fields(right, field))
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.1)


def made(val_oa, val_loss, error=0.05):
    """Rows of a training whose test OA is a hundredth of the epoch."""
    plain = [
        {
            "scene": "s", "model": "m", "seed": "0", "weights": weights, "averaged": "1", "epoch": str(epoch),
            "val_oa": str(oa), "val_error": str(error), "val_loss": str(loss),
            "test_oa": str(epoch / 100), "test_aa": "0.5",
        }
        for weights in ("plain", "ema")
        for epoch, (oa, loss) in enumerate(zip(val_oa, val_loss, strict=True))
    ]  # fmt: skip
    means = [("plain", 2), ("plain", 4), ("plain", 6), ("ema", 3), ("ema", 6)]
    last = {"epoch": str(len(val_oa) - 1), "test_oa": "0.9"}
    return plain + [{**plain[-1], **last, "weights": w, "averaged": str(n)} for w, n in means]


def test_each_rule_keeps_its_epoch():
    rows = made([0.5, 0.78, 0.6, 0.8, 0.8, 0.7, 0.76, 0.6], [9, 8, 7, 6, 5, 4, 5, 6])[::-1]
    kept = {name: rule.keep(rows) for name, rule in chapter.RULES.items()}
    epochs = {name: int(row["epoch"]) for name, row in kept.items() if row["averaged"] == "1"}
    assert epochs == {
        "best validation OA": 4,
        "lowest validation loss": 5,
        "best mean OA of three epochs": 4,
        "first epoch within one standard error": 1,
        "last epoch within one standard error": 6,
        "last epoch": 7,
        "without EMA: best validation OA": 4,
        "without EMA: lowest validation loss": 5,
        "without EMA: last epoch": 7,
    }
    rest = {name: (row["weights"], row["averaged"]) for name, row in kept.items() if name not in epochs}
    assert len(set(rest.values())) == len(rest) == 5
    assert chapter.Rule(chapter.last, "ema", 5).keep(rows) is None


def test_one_field_has_no_standard_error_so_only_the_best_epoch_counts():
    rows = made([0.5, 0.6], [1, 1], error=math.nan)
    assert chapter.RULES["last epoch within one standard error"].keep(rows)["epoch"] == "1"
    assert chapter.RULES["first epoch within one standard error"].keep(rows)["epoch"] == "1"
