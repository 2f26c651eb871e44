"""Why a training had to stop, in one sentence each that says what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsi.errors import TrainingError
from hsi.runs.config import Config

SHOWN = 3  # pixels of a bad batch that are named


def not_finite(
    what: str,
    value: float,
    epoch: int,
    folder: Path,
    config: Config,
    mixed: bool,
    batch: str = "",
) -> TrainingError:
    """Return the error for a number that is NaN or infinite.

    Parameters
    ----------
    what, value
        "loss", and what it became.
    epoch
        From 0.
    folder, config
        The run.
    mixed
        Whether it computes in less than float32.
    batch
        Where in the epoch it happened, from `name_batch`.
    """
    kept = (
        f"the last good checkpoint, of epoch {epoch}, is in '{folder / 'checkpoint'}'"
        if epoch
        else "there is no checkpoint yet"
    )
    precision = " or --precision float32" if mixed else ""
    return TrainingError(
        f"The {what} became {value} in epoch {epoch + 1}{batch}; {kept}; "
        f"train anew with an --lr below {config.lr:g}{precision}."
    )


def name_batch(number: int, batches: list[NDArray[np.int64]], cols: int, bad_patches: bool) -> str:
    """Return the words for one batch of an epoch: its number, from 1, and where its pixels lie.

    Parameters
    ----------
    number
        Its place in `batches`, from 0.
    batches
        Pixels (row-major flat indices) of each.
    cols
        Columns of the scene.
    bad_patches
        Whether its patches hold values that are not finite.
    """
    pixels = batches[number]
    places = ", ".join(f"({pixel // cols}, {pixel % cols})" for pixel in pixels[:SHOWN].tolist())
    more = f" and {len(pixels) - SHOWN} more" if len(pixels) > SHOWN else ""
    cause = ", whose patches hold values that are not finite" if bad_patches else ""
    return f", batch {number + 1} of {len(batches)} (row and column of its pixels: {places}{more}){cause}"


def no_memory(epoch: int, config: Config, smallest: int) -> TrainingError:
    """Return the error for memory that ran out; `smallest` is the smallest piece of a batch there can be."""
    where = f"Memory ran out in epoch {epoch + 1}"
    if config.fit_memory:
        return TrainingError(
            f"{where}, even with pieces of {smallest} patches; choose a smaller --patch, or fewer bands with "
            "--pca or --select-bands."
        )
    half = f" or a smaller batch, such as --batch {config.batch // 2}" if config.batch >= 4 else ""
    return TrainingError(
        f"{where} with batches of {config.batch} patches; use --batch-size auto, which takes the same batch "
        f"in pieces that fit,{half}{',' if half else ''} or a smaller --patch."
    )
