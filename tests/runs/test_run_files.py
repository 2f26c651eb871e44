"""Predictions of a run, and run folders of each format: all open, a newer one is refused.

fixtures/run_format_1 is a run of hsi 0.1.0: a small 3D-DenseNet on the demo scene. It is never made again
when the code changes; a new format gets a new folder beside it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import hsi
from hsi.commands.app import run as command
from hsi.errors import ConfigError, RunError
from hsi.runs.run_files import RUN_FORMAT, load_predictions, save_predictions

PREDICTIONS = {"train": np.array([1, 2, 300]), "val": np.array([2]), "test": np.array([3, 1, 1, 2])}
COUNTS = {"train": 3, "val": 1, "test": 4}


def test_predictions_come_back_as_they_were(tmp_path):
    save_predictions(tmp_path, PREDICTIONS)
    back = load_predictions(tmp_path, COUNTS)
    assert {part: labels.tolist() for part, labels in back.items()} == {
        part: labels.tolist() for part, labels in PREDICTIONS.items()
    }
    assert all(labels.dtype == np.int64 for labels in back.values())
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.npz"]


def test_predictions_of_another_split_are_refused(tmp_path):
    save_predictions(tmp_path, PREDICTIONS)
    with pytest.raises(RunError, match="another split"):
        load_predictions(tmp_path, {**COUNTS, "test": 5})


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 but no archive", b"<html></html>"])
def test_a_damaged_file_is_named(tmp_path, damage):
    (tmp_path / "predictions.npz").write_bytes(damage)
    with pytest.raises(RunError, match="damaged"):
        load_predictions(tmp_path, COUNTS)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RunError, match="no predictions"):
        load_predictions(tmp_path, COUNTS)


FIXTURES = Path(__file__).parent / "fixtures"
FORMATS = range(1, RUN_FORMAT + 1)


@pytest.fixture(params=FORMATS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a run of an older or this format."""
    return Path(shutil.copytree(FIXTURES / f"run_format_{request.param}", tmp_path / "old"))


def test_all_of_it_can_be_read(old: Path) -> None:
    run = hsi.open_run(old)
    assert run.config.model == "densenet3d"
    assert run.split.counts == run.metrics["counts"]
    assert len(run.history) == run.config.epochs
    wrong = run.predictions["test"] != run.load_scene().labels.ravel()[run.split.test]
    assert run.scores["test"].oa == pytest.approx(1 - wrong.mean())


def test_it_classifies_as_it_did(old: Path) -> None:
    run = hsi.open_run(old)
    scene = run.load_scene()
    now = run.predict(scene).ravel()[run.split.test]
    assert np.mean(now == run.predictions["test"]) > 0.9999
    assert run.evaluate(scene).oa == pytest.approx(run.scores["test"].oa, abs=1e-4)


def test_it_can_be_mapped(old: Path, tmp_path: Path) -> None:
    run = hsi.open_run(old)
    written = hsi.map_scene(run, run.load_scene(), tmp_path / "map.npy", device="cpu")
    np.testing.assert_array_equal(np.load(written.files["map"]), run.predict(run.load_scene(), device="cpu"))


def test_it_can_be_resumed(old: Path) -> None:
    before = json.loads((old / "metrics.json").read_text())
    (old / "metrics.json").unlink()
    (old / "predictions.npz").unlink()
    resumed = hsi.resume(old)
    assert resumed.metrics["test"]["oa"] == pytest.approx(before["test"]["oa"], abs=1e-4)


def test_one_begun_with_an_option_that_went_opens_but_is_not_resumed(old: Path) -> None:
    config = old / "config.toml"
    config.write_text(config.read_text().replace("spectral_jitter = 0.0", "spectral_jitter = 0.5"))
    assert hsi.open_run(old).config.model == "densenet3d"
    (old / "metrics.json").unlink()
    with pytest.raises(ConfigError, match=r"spectral_jitter went in hsi 0\.2"):
        hsi.resume(old)


def test_its_config_trains_again(old: Path, tmp_path: Path) -> None:
    again = hsi.train(config=old / "config.toml", out=tmp_path / "again", epochs=1)
    assert again.split.counts == hsi.open_run(old).split.counts


def test_a_newer_format_is_refused_in_one_sentence(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = old / "environment.json"
    facts = json.loads(path.read_text()) | {"run_format": RUN_FORMAT + 1, "hsi": "9.1"}
    path.write_text(json.dumps(facts))
    with pytest.raises(RunError, match=f"format {RUN_FORMAT + 1}, written by hsi 9.1"):
        hsi.open_run(old)
    assert command(["evaluate", str(old)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "[]", "{", '{"run_format": "2"}', '{"run_format": null}'])
def test_an_environment_without_a_format_does_not_stop_a_run(old: Path, text: str) -> None:
    (old / "environment.json").write_text(text)
    assert hsi.open_run(old).scores["test"].oa > 0
