"""A finished run as an ONNX file, which is compared with the run before it gets its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from hsi.datasets.patches import PatchCutter
from hsi.datasets.scene import Scene
from hsi.errors import ConfigError, ExportError, unknown
from hsi.export.graph import facts_of, graph_of
from hsi.export.onnx_file import Floats, check_onnx, open_onnx, write_onnx
from hsi.inference.predict import as_classifier, make_cutter, predict_logits
from hsi.inference.run import Run, fit_bands
from hsi.io.files import written_whole

FORMATS = ("onnx",)
SUFFIX = ".onnx"
EXAMPLES = 2
"""Patches that the graph is traced with; with one, the exporter takes N for a constant."""

TOLERANCE = 1e-4
"""Largest difference of a probability: rounding gives about 1e-6."""
PIXELS = 64
"""Test pixels that are compared, beside the corners of the scene."""
BATCHES = (1, 5)
"""Sizes of the first batches, other than the one that was traced; the rest is one batch."""


@dataclass(frozen=True)
class Check:
    """Comparison of a file with its run.

    Attributes
    ----------
    patches
        Patches of the scene: test pixels spread evenly, and the four corners.
    max_difference
        Largest absolute difference of a probability.
    labels_differ
        Patches whose most likely class differs.
    """

    patches: int
    max_difference: float
    labels_differ: int


@dataclass(frozen=True)
class Exported:
    """An exported file.

    Attributes
    ----------
    file, format
        Path, and one of `FORMATS`.
    megabytes
        Size (10^6 bytes).
    facts
        The file's metadata.
    check
        The comparison with the run, or None where ONNX Runtime is not installed.
    """

    file: Path
    format: str
    megabytes: float
    facts: dict[str, str]
    check: Check | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {**asdict(self), "file": str(self.file)}


def export_run(run: Run, scene: Scene, out: str | Path | None = None, *, format: str = "onnx") -> Exported:
    """Write the best network of a run as a file that takes the scene's own band values.

    Input ``patches``: float32 ``(N, bands, P, P)``, any N, all of the scene's bands in its own unit. NaN
    marks a missing pixel: beyond the edge of the scene, beyond the region of the centre, or without data;
    `raw_patches` cuts such patches. A run with padding "reflect" takes the scene mirrored beyond its edge
    instead. Output ``probabilities``: float32 ``(N, classes)``; column k - 1 is class k. Band choice,
    scaling, PCA and softmax are inside, all in float32, whatever precision the run was trained in.

    The file gets its name only after its probabilities agreed with the run's on patches of the scene; an
    older file is replaced.

    Parameters
    ----------
    run, scene
        A finished run of a network, and the scene that it was trained on.
    out
        The file, which ends with ``.onnx``. Default ``model.onnx`` in the run folder.
    format
        "onnx".

    Raises
    ------
    ConfigError
        For an unknown format, another ending, a missing folder, or a missing extra.
    RunError
        When the run is not finished, or is not of a network.
    ExportError
        When ONNX cannot hold the network, or the file's probabilities differ from the run's.
    """
    path = check_target(run, out, format)
    graph = graph_of(run)
    facts = facts_of(run)
    patches, probabilities = _reference(run, scene)
    with written_whole(path) as temporary:
        write_onnx(temporary, graph, torch.from_numpy(patches[:EXAMPLES]), facts)
        predict = open_onnx(temporary)
        check = None if predict is None else _compare(predict, patches, probabilities)
        size = temporary.stat().st_size / 1e6
    return Exported(path, format, size, facts, check)


def check_target(run: Run, out: str | Path | None, format: str) -> Path:
    """Return the path of the file; raise ConfigError where it cannot be written."""
    if format == "torchscript":
        raise ConfigError(
            "The TorchScript export went in 0.2, since PyTorch deprecated TorchScript; use --format onnx."
        )
    if format not in FORMATS:
        raise ConfigError(unknown("format", format, FORMATS))
    path = run.path / f"model{SUFFIX}" if out is None else Path(out)
    if path.suffix.lower() != SUFFIX:
        raise ConfigError(f"A file of format {format} ends with {SUFFIX}, which '{path}' does not.")
    if not path.parent.is_dir():
        raise ConfigError(f"The folder '{path.parent}' for the file does not exist.")
    if path.is_dir():
        raise ConfigError(f"'{path}' is a folder; name a file.")
    check_onnx()
    return path


def raw_patches(
    cube: NDArray[Any],
    patch: int,
    pixels: ArrayLike,
    *,
    regions: ArrayLike | None = None,
    padding: str = "zeros",
) -> Floats:
    """Cut patches ``(N, bands, P, P)`` float32 from a scene as it was measured, for an exported file.

    Pixels that are zeros in a patch of the preprocessed scene are NaN here: those beyond the edge of the
    scene (with padding "zeros") or of the centre's region.

    Parameters
    ----------
    cube
        ``(rows, cols, bands)``, the scene's own values.
    patch
        Odd patch width P.
    pixels
        ``(N,)`` row-major flat indices of the centres.
    regions, padding
        As for `hsi.datasets.patches.PatchCutter`; on the run's own scene they are ``run.split.patch_regions``
        and ``run.config.padding``, on any other scene there are no regions.
    """
    ones = np.ones((*cube.shape[:2], 1), np.float32)
    inside = PatchCutter(ones, patch, regions=regions, padding=padding)(pixels).numpy() > 0
    values = PatchCutter(np.asarray(cube, np.float32), patch, regions=regions, padding=padding)(pixels)
    return np.where(inside, values.numpy(), np.float32(np.nan))


def _reference(run: Run, scene: Scene) -> tuple[Floats, Floats]:
    """Return raw patches of the run's own scene, and the probabilities that the run gives them."""
    run.split.check(scene)
    fit_bands(run, scene)
    config, regions, test = run.config, run.split.patch_regions, run.split.test
    spread = test[np.unique(np.linspace(0, len(test) - 1, PIXELS).astype(np.int64))]
    rows, cols = scene.rows, scene.cols
    pixels = np.concatenate([[0, cols - 1, (rows - 1) * cols, rows * cols - 1], spread])
    patches = raw_patches(
        np.asarray(scene.cube), config.patch, pixels, regions=regions, padding=config.padding
    )
    cutter = make_cutter(scene, run.preprocess, run.split, config, "cpu")
    logits = predict_logits(as_classifier(run.load_model("cpu"), config), cutter, pixels)
    return patches, torch.softmax(logits, dim=1).numpy()


def _compare(predict: Callable[[Floats], Floats], patches: Floats, probabilities: Floats) -> Check:
    """Compare a file with the run, in batches of several sizes; raise ExportError where they differ."""
    batches = np.split(patches, np.cumsum(BATCHES))
    try:
        found = np.concatenate([predict(batch) for batch in batches if len(batch)])
    except Exception as error:  # each runtime has its own types
        raise ExportError(f"The exported file cannot be used: {error}") from error
    if found.shape != probabilities.shape:
        raise ExportError(f"The exported file answers with shape {found.shape}, and was not kept.")
    difference = np.abs(found - probabilities).max()
    if not difference <= TOLERANCE:  # so NaN is caught, too
        raise ExportError(
            f"The exported file differs from the run by {difference:.3g} in a probability (at most "
            f"{TOLERANCE:g} is rounding), and was not kept."
        )
    differ = int((found.argmax(axis=1) != probabilities.argmax(axis=1)).sum())
    return Check(len(found), float(difference), differ)
