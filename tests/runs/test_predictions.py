"""What a run predicted is kept beside its split, and a file that does not fit is refused."""

import numpy as np
import pytest

from hsi.errors import RunError
from hsi.runs.predictions import load_predictions, save_predictions

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
