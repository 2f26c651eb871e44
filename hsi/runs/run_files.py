"""The version of what a run folder holds: old runs keep opening, newer ones are refused by name.

What a finished run predicted for the pixels of its split, so that runs can be compared pixel by pixel.

Reading the small files of a run that are not its options: scores, epochs, what it was made with.

They may have been cut short, edited, or come from elsewhere, so what other code relies on is checked here.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.numpy_files import read_archive
from hsi.errors import FileFormatError, RunError
from hsi.io.files import written_whole
from hsi.io.size_limits import check_length
from hsi.io.text import read_json
from hsi.models.device import FORMATS, PRECISIONS

RUN_FORMAT = 1
"""Counted up when a folder changes so that older versions of hsi would misread it."""


def check_format(folder: Path) -> None:
    """Refuse a run whose ``environment.json`` names a newer format.

    A file that is missing, damaged or without a number says nothing against the run here: what relies on it
    complains itself.

    Raises
    ------
    RunError
        When the format is newer than `RUN_FORMAT`.
    """
    try:
        found = read_json(folder / "environment.json")
    except (OSError, ValueError, FileFormatError):
        return
    number = found.get("run_format") if isinstance(found, dict) else None
    if isinstance(number, int) and number > RUN_FORMAT:
        by = found.get("hsi")
        maker = f"hsi {by}" if isinstance(by, str) else "a newer hsi"
        raise RunError(
            f"The run '{folder}' has format {number}, written by {maker}; this hsi reads up to {RUN_FORMAT}: "
            "install a newer one."
        )


FILE = "predictions.npz"


def save_predictions(folder: Path, predictions: Mapping[str, NDArray[np.int64]]) -> None:
    """Write the predicted classes 1..C of each part, in the order of the split's pixels."""
    arrays: dict[str, Any] = {part: labels.astype(np.uint16) for part, labels in predictions.items()}
    with written_whole(folder / FILE) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_predictions(folder: Path, counts: Mapping[str, int]) -> dict[str, NDArray[np.int64]]:
    """Read what `save_predictions` wrote; `counts` are the pixels that each part must have.

    Raises
    ------
    RunError
        When the file is missing, damaged, or of another split.
    """
    path = folder / FILE
    try:
        arrays = read_archive(path)
        wrong = [part for part in counts if arrays[part].dtype.kind not in "iu" or arrays[part].ndim != 1]
        if wrong:
            raise ValueError(f"'{wrong[0]}' is no list of classes")
        predictions = {part: arrays[part].astype(np.int64) for part in counts}
    except FileNotFoundError:
        raise RunError(
            f"The run '{folder}' has no {FILE}; go on with it by: hsi train --resume {folder}, "
            "or train it anew if it is finished."
        ) from None
    except KeyError as error:
        raise RunError(f"'{path}' is damaged: it lacks the array {error}.") from None
    except (OSError, ValueError, FileFormatError) as error:
        raise RunError(f"'{path}' is damaged: {error}.") from None
    if any(len(predictions[part]) != count for part, count in counts.items()):
        raise RunError(f"'{path}' belongs to another split than the run's split.npz.")
    return predictions


_TEXTS = ("model", "dataset", "scheme", "device")
_WHOLE = ("seed", "patch", "bands")
_SCORES = ("oa", "aa", "kappa", "mean_precision", "f1_macro")
_EPOCH = ("epoch", "train_loss", "train_oa", "val_loss", "val_oa")
_PARTS = ("train", "val", "test")


def read_metrics(path: Path) -> dict[str, Any]:
    """Return what a ``metrics.json`` holds.

    Raises
    ------
    FileNotFoundError
        When it is not there.
    RunError
        When it is damaged, or lacks what every run has.
    """
    metrics = _read_table(path)
    try:
        _check_metrics(metrics)
    except (KeyError, ValueError, TypeError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise RunError(f"'{path}' is damaged: {what}.") from None
    return metrics


def read_environment(path: Path) -> dict[str, Any]:
    """Return what an ``environment.json`` holds.

    Raises
    ------
    RunError
        When it is missing or damaged, or lacks what every run has.
    """
    try:
        found = _read_table(path)
    except FileNotFoundError:
        raise RunError(f"There is no file '{path}', which every run has; copy the run again.") from None
    for name, kind in (("hsi", str), ("python", str), ("packages", dict), ("data_files", dict)):
        if not isinstance(found.get(name), kind):
            raise RunError(f"'{path}' is damaged: '{name}' is missing or of another kind.")
    command = found.get("command_line") or []
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        raise RunError(f"'{path}' is damaged: 'command_line' is no list of words.")
    return found


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the rows of a ``history.csv``: one an epoch, each value a number.

    Raises
    ------
    RunError
        When it is missing or damaged.
    """
    try:
        check_length(path)
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
        missing = [name for name in _EPOCH if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"it has no column '{missing[0]}'")
        for row in rows:
            if None in row or None in row.values():
                raise ValueError("a row is longer or shorter than the others")
        return [{name: float(value) for name, value in row.items()} for row in rows]
    except FileNotFoundError:
        raise RunError(f"There is no file '{path}', which every run has; copy the run again.") from None
    except (OSError, ValueError, TypeError, csv.Error, FileFormatError) as error:
        raise RunError(f"'{path}' is damaged: {error}.") from None


def _read_table(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, FileFormatError) as error:
        raise RunError(f"'{path}' is damaged: {error}.") from None
    if not isinstance(found, dict):
        raise RunError(f"'{path}' is damaged: it holds no table.")
    return found


def _check_metrics(metrics: Mapping[str, Any]) -> None:
    """Raise KeyError, ValueError or TypeError for what is missing, or is of another kind."""
    for name in _TEXTS:
        _want(isinstance(metrics[name], str), f"'{name}' is no text")
    for name in _WHOLE:
        _want(_is_count(metrics[name]), f"'{name}' is no whole number from 0")
    for name in ("centre", "overlap"):
        _want(_is_number(metrics["leakage"][name]), f"the leakage '{name}' is no number")
    names = metrics["class_names"]
    right = isinstance(names, list) and all(isinstance(name, str) for name in names)
    _want(right and len(names) > 0, "'class_names' are no texts")
    counts = metrics["counts"]
    _want(all(_is_count(counts[part]) for part in _PARTS), "'counts' are no whole numbers from 0")
    seconds = metrics["seconds"]
    _want(all(_is_number(seconds[name]) for name in ("train", "test")), "'seconds' are no numbers")
    for name in ("wavelengths_nm", "fwhm_nm"):
        values = metrics.get(name)
        _want(values is None or (isinstance(values, list) and all(map(_is_number, values))), name)
    precision = metrics.get("precision")
    _want(precision is None or precision in tuple(PRECISIONS), "'precision' is none that there is")
    memory_format = metrics.get("memory_format")
    _want(memory_format is None or memory_format in tuple(FORMATS), "'memory_format' is none that there is")
    for part in _PARTS:
        if metrics.get(part) or part != "val":
            _check_scores(metrics[part], len(names), part)


def _check_scores(scores: Mapping[str, Any], classes: int, part: str) -> None:
    for name in _SCORES:
        _want(scores[name] is None or _is_number(scores[name]), f"'{name}' of {part} is no number")
    for name in ("recall", "precision"):
        values = scores[name]
        right = isinstance(values, list) and len(values) == classes
        _want(right and all(one is None or _is_number(one) for one in values), f"'{name}' of {part}")
    support, confusion = scores["support"], scores["confusion"]
    square = isinstance(confusion, list) and len(confusion) == classes
    for row in (support, *(confusion if square else ())):
        square = square and isinstance(row, list) and len(row) == classes and all(map(_is_count, row))
    _want(square, f"the confusion matrix of {part} does not fit its {classes} classes")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _want(right: bool, otherwise: str) -> None:
    if not right:
        raise ValueError(otherwise)
