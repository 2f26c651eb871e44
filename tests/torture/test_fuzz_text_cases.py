"""Texts that once broke a reader: scene descriptions, configurations, experiments, files of runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hsi.config import load_config
from hsi.datasets import load_scene
from hsi.errors import ConfigError, FileFormatError, HsiError, InputError, RunError, SceneNotFoundError
from hsi.io.text import parse_toml
from hsi.models import build_model
from hsi.runs.run_files import read_environment, read_history, read_metrics
from hsi.scoring import score
from hsi.sweep.experiment import read_experiment
from hsi.sweep.plan import make_plan

CUBE = np.random.default_rng(0).integers(0, 900, (6, 5, 4)).astype(np.uint16)


@pytest.mark.parametrize(
    "text", ["a = " + "9" * 5000, "a = " + "[" * 3000, "a." * 3000 + "b = 1", f"a = {2**64}"]
)
def test_toml(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"nested|64 bits|digits|parts"):
        parse_toml(text)
    for name, read in (("config.toml", load_config), ("scene.toml", load_scene), ("e.toml", read_experiment)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="TOML"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        'model = "svm"', 'dataset = "demo"', 'model = "svm"\ndataset = "a\\u0000"',
        'model = "svm"\ndataset = "x"\nfolds = 99999999999',
    ],
)  # fmt: skip
def test_configurations(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        load_config(tmp_path / "config.toml")


@pytest.mark.parametrize(
    "line",
    ["[models.svm]\nmodel = 5", "[models.svm]\n[[grid]]\nmodels = [[1]]", "[models.svm]\nfolds = 3000000"],
)
def test_experiments(tmp_path: Path, line: str) -> None:
    path = tmp_path / "e.toml"
    for dataset in ('"demo"', "5"):
        path.write_text(f"[scenes.demo]\ndataset = {dataset}\n[protocols.random]\n{line}\n", encoding="utf-8")
        with pytest.raises(ConfigError):
            make_plan(read_experiment(path), tmp_path)


@pytest.mark.parametrize("name", ["~nobody-at-all/x.npy", "a" * 5000, "a\0b.npy", "/proc/\0"])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises((SceneNotFoundError, ConfigError)):
        load_scene(name)
    np.save(tmp_path / "cube.npy", CUBE)
    text = f'cube = "cube.npy"\nlabels = {json.dumps(name)}\n'
    (tmp_path / "scene.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SceneNotFoundError):
        load_scene(tmp_path / "scene.toml", data_root=tmp_path)


def test_options_of_models() -> None:
    for layers in ([[], 1, 1], "abc", 10**12, [1, None, 1], [1, 65_535, 1], [1, 2**62, 1]):
        with pytest.raises(HsiError):
            build_model("densenet3d", bands=9, classes=2, patch=7, layers=layers)


@pytest.mark.parametrize(
    "text", ["", "[1]", "{}", "[" * 9000, '{"model": 1e999}', "\x00", '{"model": "svm", "dataset": 5}']
)
def test_files_of_runs(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    for read in (read_metrics, read_environment):
        with pytest.raises(RunError, match="damaged"):
            read(path)


@pytest.mark.parametrize(
    "rows",
    ["epoch\n0\n", "{h}\n0,1,2\n", "{h}\n0,1,2,3,4,5,6,7\n", "{h}\na,1,1,1,1,1,1\n", '{h}\n"0,1', "\x00"],
)
def test_histories(tmp_path: Path, rows: str) -> None:
    path = tmp_path / "history.csv"
    head = "epoch,lr,train_loss,train_oa,val_loss,val_oa,seconds"
    path.write_text(f"{head}\n0,0.1,1,0.5,nan,0.5,1\n", encoding="utf-8")
    assert read_history(path)[0]["val_oa"] == 0.5
    path.write_text(rows.format(h=head), encoding="utf-8")
    with pytest.raises(RunError, match="damaged"):
        read_history(path)


@pytest.mark.parametrize(
    "options", ["scheme = {}", "protocol = [1]", "preset = 1979-05-27", f'dataset = "{"a" * 5000}"']
)
def test_options_of_another_kind_in_an_experiment(tmp_path: Path, options: str) -> None:
    path = tmp_path / "e.toml"
    path.write_text(f"[scenes.demo]\n{options}\n[protocols.random]\n[models.svm]\n", encoding="utf-8")
    with pytest.raises(InputError):
        make_plan(read_experiment(path), tmp_path)


def test_a_key_of_thousands_of_parts_takes_no_time(tmp_path: Path) -> None:
    parse_toml('version = "1.2.3.4.5.6.7.8.9.10.11.12"\nwavelengths_nm = [' + "430.5, " * 3000 + "]")
    for part in ("a.", '"a".', "'a' . "):
        with pytest.raises(ValueError, match="parts"):
            parse_toml(part * 20_000 + "b = 1")
    (tmp_path / "scene.toml").write_text("# " + "x" * (1 << 18), encoding="utf-8")
    with pytest.raises(FileFormatError, match="at most"):
        load_scene(tmp_path / "scene.toml")


@pytest.mark.parametrize("lost", ["train", "test", "counts", "class_names", "leakage", "scheme", "seconds"])
def test_metrics_without_a_part(tmp_path: Path, lost: str) -> None:
    scores = score([1, 1, 2], [1, 2, 2], 2).as_dict()
    metrics = {
        "model": "svm", "dataset": "demo", "scheme": "random", "device": "cpu", "seed": 0, "patch": 7,
        "bands": 9, "class_names": ["a", "b"], "counts": {"train": 3, "val": 3, "test": 3},
        "train": scores, "test": scores, "leakage": {"centre": 0.0, "overlap": 0.5},
        "seconds": {"train": 1.0, "test": 0.5},
    }  # fmt: skip
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(metrics), encoding="utf-8")
    assert read_metrics(path) == metrics
    del metrics[lost]
    path.write_text(json.dumps(metrics), encoding="utf-8")
    with pytest.raises(RunError, match=lost):
        read_metrics(path)
