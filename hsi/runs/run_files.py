"""The files of a run: format version, predictions.npz, and checked reading of metrics, history, environment.

Files may be truncated, edited, or from elsewhere, so what other code relies on is checked here.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.numpy_files import read_archive
from hsi.datasets.splits.indices import SUBSETS
from hsi.errors import FileFormatError, RunError, command_to_paste
from hsi.io.files import written_whole
from hsi.io.size_limits import check_length
from hsi.io.text import read_json
from hsi.models.device import FORMATS, PRECISIONS

RUN_FORMAT = 1
"""Raised when older versions of hsi would misread a run folder."""


def check_format(folder: Path) -> None:
    """Refuse a run whose ``environment.json`` names a newer format.

    A file that is missing, damaged or without a number passes: what relies on it raises an error itself.

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
        version = found.get("hsi")
        writer = f"hsi {version}" if isinstance(version, str) else "a newer hsi"
        raise RunError(
            f"The run '{folder}' has format {number}, written by {writer}; this hsi reads up to "
            f"{RUN_FORMAT}: install a newer one."
        )


PREDICTIONS = "predictions.npz"


def save_predictions(folder: Path, predictions: Mapping[str, NDArray[np.int64]]) -> None:
    """Write the predicted classes 1..C of each subset, in the order of the split's pixels."""
    arrays: dict[str, Any] = {subset: labels.astype(np.uint16) for subset, labels in predictions.items()}
    with written_whole(folder / PREDICTIONS) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_predictions(folder: Path, counts: Mapping[str, int]) -> dict[str, NDArray[np.int64]]:
    """Read what `save_predictions` wrote; `counts` are the pixels of each subset.

    Raises
    ------
    RunError
        When the file is missing, damaged, or of another split.
    """
    path = folder / PREDICTIONS
    try:
        arrays = read_archive(path)
        for subset in counts:
            if arrays[subset].dtype.kind not in "iu" or arrays[subset].ndim != 1:
                raise ValueError(f"'{subset}' is not a list of classes")
        predictions = {subset: arrays[subset].astype(np.int64) for subset in counts}
    except FileNotFoundError:
        raise RunError(
            f"The run '{folder}' has no {PREDICTIONS}; train it anew if it is finished, else resume it with: "
            + command_to_paste("hsi", "train", "--resume", folder)
        ) from None
    except KeyError as error:
        raise RunError(f"'{path}' is damaged: it lacks the array {error}.") from None
    except (OSError, ValueError, FileFormatError) as error:
        raise RunError(f"'{path}' is damaged: {error}.") from None
    if any(len(predictions[subset]) != count for subset, count in counts.items()):
        raise RunError(f"'{path}' belongs to another split than the run's split.npz.")
    return predictions


_EPOCH_COLUMNS = ("epoch", "train_loss", "train_oa", "val_loss", "val_oa")


def read_metrics(path: Path) -> dict[str, Any]:
    """Return what a ``metrics.json`` holds.

    Raises
    ------
    FileNotFoundError
        When it does not exist.
    RunError
        When it is damaged, or lacks what every run has.
    """
    metrics = _read_checked(path, _Metrics)
    classes = len(metrics["class_names"])
    for subset in SUBSETS:
        scores = metrics.get(subset)
        if scores:
            rows = [*scores["confusion"], scores["recall"], scores["precision"], scores["support"]]
            if len(scores["confusion"]) != classes or any(len(row) != classes for row in rows):
                raise RunError(f"'{path}' is damaged: the scores of {subset} do not fit {classes} classes.")
    return metrics


def read_environment(path: Path) -> dict[str, Any]:
    """Return what an ``environment.json`` holds.

    Raises
    ------
    RunError
        When it is missing or damaged, or lacks what every run has.
    """
    try:
        return _read_checked(path, _Environment)
    except FileNotFoundError:
        raise RunError(f"There is no file '{path}', which every run has; copy the run again.") from None


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the rows of a ``history.csv``, one an epoch.

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
        missing = [name for name in _EPOCH_COLUMNS if name not in (reader.fieldnames or ())]
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


_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class _Shares(msgspec.Struct):
    centre: float
    overlap: float


class _Seconds(msgspec.Struct):
    train: float
    test: float


class _Counts(msgspec.Struct):
    train: _Count
    val: _Count
    test: _Count


class _Scores(msgspec.Struct):
    oa: float | None
    aa: float | None
    kappa: float | None
    mean_precision: float | None
    f1_macro: float | None
    recall: list[float | None]
    precision: list[float | None]
    support: list[_Count]
    confusion: list[list[_Count]]


class _BandChoice(msgspec.Struct):
    count: _Count
    numbers: list[_Count]


class _SceneOfSeveral(msgspec.Struct):
    name: str
    pixels: _Count
    oa: float | None


class _Metrics(msgspec.Struct):
    """The part of metrics.json that other code relies on."""

    model: str
    dataset: str
    scheme: str
    device: str
    seed: _Count
    patch: _Count
    bands: _Count
    leakage: _Shares
    class_names: Annotated[list[str], msgspec.Meta(min_length=1)]
    counts: _Counts
    seconds: _Seconds
    train: _Scores
    test: _Scores
    val: _Scores | None = None
    wavelengths_nm: list[float] | None = None
    fwhm_nm: list[float] | None = None
    band_choice: _BandChoice | None = None
    scenes: list[_SceneOfSeveral] | None = None
    precision: Literal[tuple(PRECISIONS)] | None = None  # type: ignore[valid-type]
    memory_format: Literal[tuple(FORMATS)] | None = None  # type: ignore[valid-type]


class _Environment(msgspec.Struct):
    """The part of environment.json that other code relies on."""

    hsi: str
    python: str
    packages: dict[str, Any]
    data_files: dict[str, Any]
    command_line: list[str] | None = None


def _read_checked(path: Path, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON object in a file, with every key, once those of `kind` are as they must be."""
    try:
        found = read_json(path)
        msgspec.convert(found, kind)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, OverflowError, FileFormatError, msgspec.ValidationError) as error:
        raise RunError(f"'{path}' is damaged: {error}.") from None
    table: dict[str, Any] = found
    return table
