"""Experiment files: what they mean, and one sentence for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsi.errors import InputError
from hsi.sweep.experiment import Grid, read_experiment, shown


def test_sections_win_over_one_another_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner").mkdir()
    path = tmp_path / "inner" / "e.toml"
    path.write_text(
        "[defaults]\nlr = 1.0\nbatch = 1\nepochs = 1\npca = 1\n"
        '[scenes.mine]\ndataset = "scenes/../s.toml"\nbatch = 2\nepochs = 2\npca = 2\n[scenes.IN]\n'
        '[protocols.p]\nepochs = 3\npca = 3\ntrain_mask = "m.mat:TR"\n[models.m]\nmodel = "svm"\npca = 4\n'
    )
    experiment = read_experiment(path)
    assert experiment.name == "e"
    assert experiment.options("mine", "p", "m") == {
        "lr": 1.0,
        "batch": 2,
        "epochs": 3,
        "pca": 4,
        "dataset": "inner/s.toml",
        "train_mask": "inner/m.mat:TR",
        "model": "svm",
    }
    assert experiment.options("IN", "p", "m")["dataset"] == "IN"
    assert experiment.grids == (Grid(("m",), ("mine", "IN"), ("p",), (0,)),)


def test_paths_outside_the_current_folder_stay_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert shown(Path("a/../b.toml")) == "b.toml"
    assert shown(Path("../b.toml")) == (tmp_path / "b.toml").as_posix()


MODELS = "[models.svm]\n"
REST = "[scenes.demo]\n[protocols.p]\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no models"),
        (MODELS, "names no scenes"),
        ("model = 3\n", "unknown key 'model'.*Did you mean 'models'"),
        ("title = 3\n" + MODELS + REST, "title must be a text"),
        ("seeds = 3\n" + MODELS + REST, "list of different whole numbers"),
        ("seeds = [1, 1]\n" + MODELS + REST, "list of different whole numbers"),
        ("seeds = [-1]\n" + MODELS + REST, "list of different whole numbers"),
        ("seeds = [true]\n" + MODELS + REST, "list of different whole numbers"),
        ("[defaults]\nepoch = 1\n" + MODELS + REST, r"\[defaults\]: Unknown option 'epoch'.*'epochs'"),
        ("[models.svm]\nfeature = 1\n" + REST, r"\[models.svm\]: Unknown option 'feature'"),
        ("[defaults]\nseed = 1\n" + MODELS + REST, "cannot set seed; list seeds"),
        ("[models.svm]\ndataset = 'IN'\n" + REST, "cannot set dataset"),
        ("[scenes.demo]\nmodel = 'svm'\n" + MODELS + "[protocols.p]", "cannot set model"),
        ('[models."a/b"]\n' + REST, "becomes a folder's name"),
        ("[models.SVM]\nmodel = 'svm'\n" + MODELS + REST, "the same folder on some systems"),
        ("models = 3\n" + REST, "names no models"),
        ("[models]\nsvm = 3\n" + REST, "must be a section"),
        (MODELS + REST + "[grid]\nmodels = ['svm']", r"\[\[grid\]\]"),
        (MODELS + REST + "[[grid]]\nmodel = ['svm']", "unknown key 'model'.*'models'"),
        (MODELS + REST + "[[grid]]\nmodels = ['swm']", r"no \[models.swm\]. Did you mean 'svm'"),
        (MODELS + REST + "[[grid]]\nmodels = []", "must be a list of labels"),
        (MODELS + REST + "[[grid]]\nseeds = ['a']", r"\[\[grid\]\] 1: seeds must be a list"),
        ("a = = 3", "not valid TOML"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "e.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words) as caught:
        read_experiment(path)
    assert "e.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_strange_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        read_experiment(tmp_path / "none.toml")
    path = tmp_path / "my sweep.toml"
    path.write_text(MODELS + REST, encoding="utf-8")
    with pytest.raises(InputError, match="becomes a folder's name"):
        read_experiment(path)
