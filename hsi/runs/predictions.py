"""What a finished run predicted for the pixels of its split, so that runs can be compared pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.numpy_files import read_archive
from hsi.errors import FileFormatError, RunError
from hsi.runs.atomic import written_whole

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
