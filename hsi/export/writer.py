"""Patches as an exported file takes them: the scene's own values, NaN for pixels that are not there.

Whether an exported file answers as the run that it was made of.

A finished run as one file for other tools, checked against the run before it gets its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from hsi.datasets.patches import PatchCutter
from hsi.datasets.scene import Scene
from hsi.errors import ConfigError, ExportError, unknown
from hsi.export.graph import facts_of, graph_of
from hsi.export.onnx_file import check_onnx, open_onnx, write_onnx
from hsi.export.torchscript_file import check_torchscript, open_torchscript, write_torchscript
from hsi.inference.predict import as_classifier, make_cutter, predict_logits
from hsi.inference.run import Run, fit_bands
from hsi.io.files import written_whole


def raw_patches(
    cube: NDArray[Any],
    patch: int,
    pixels: ArrayLike,
    *,
    regions: ArrayLike | None = None,
    padding: str = "zeros",
) -> NDArray[np.float32]:
    """Cut patches ``(N, bands, P, P)`` float32 from a scene as it was measured.

    What stands as zeros in a patch of the preprocessed scene is NaN here: pixels beyond the edge of the scene
    (with padding "zeros") or of the centre's area. An exported file turns NaN back into those zeros.

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
    there = np.ones((*cube.shape[:2], 1), np.float32)
    inside = PatchCutter(there, patch, regions=regions, padding=padding)(pixels).numpy() > 0
    values = PatchCutter(np.asarray(cube, np.float32), patch, regions=regions, padding=padding)(pixels)
    return np.where(inside, values.numpy(), np.float32(np.nan))


Floats = NDArray[np.float32]

TOLERANCE = 1e-4
"""Largest difference of a probability: far more than rounding gives (about 1e-6), far less than matters."""
PIXELS = 64
"""Test pixels that are compared, beside the corners of the scene."""
BATCHES = (1, 5)
"""Sizes of the first batches, other than the one that was traced; the rest is one batch."""


@dataclass(frozen=True)
class Check:
    """What was compared.

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


class Reference:
    """Patches of a run's own scene, and the probabilities that the run itself gives them.

    Parameters
    ----------
    run
        A finished run of a network.
    scene
        The scene that it was trained on.
    """

    def __init__(self, run: Run, scene: Scene) -> None:
        run.split.check(scene)
        fit_bands(run, scene)
        config, regions = run.config, run.split.patch_regions
        pixels = _pixels(run.split.test, scene.rows, scene.cols)
        cube = np.asarray(scene.cube)
        self.patches = raw_patches(cube, config.patch, pixels, regions=regions, padding=config.padding)
        cutter = make_cutter(scene, run.preprocess, run.split, config, "cpu")
        logits = predict_logits(as_classifier(run.load_model("cpu"), config), cutter, pixels)
        self.probabilities: Floats = torch.softmax(logits, dim=1).numpy()

    def compare(self, answer: Callable[[Floats], Floats]) -> Check:
        """Give the patches to a file, in batches of several sizes.

        Raises
        ------
        ExportError
            When a probability differs by more than `TOLERANCE`, or the file does not take a batch.
        """
        cuts = np.cumsum(BATCHES)
        try:
            found = np.concatenate([answer(batch) for batch in np.split(self.patches, cuts) if len(batch)])
        except Exception as error:  # each runtime has its own types
            raise ExportError(f"The exported file cannot be used: {error}") from error
        if found.shape != self.probabilities.shape:
            raise ExportError(f"The exported file answers with shape {found.shape}, and was not kept.")
        difference = np.abs(found - self.probabilities).max()
        if not difference <= TOLERANCE:  # so NaN is caught, too
            raise ExportError(
                f"The exported file differs from the run by {difference:.3g} in a probability (at most "
                f"{TOLERANCE:g} is rounding), and was not kept."
            )
        differ = int((found.argmax(axis=1) != self.probabilities.argmax(axis=1)).sum())
        return Check(len(found), float(difference), differ)


def _pixels(test: NDArray[np.int64], rows: int, cols: int) -> NDArray[np.int64]:
    spread = test[np.unique(np.linspace(0, len(test) - 1, PIXELS).astype(np.int64))]
    corners = np.array([0, cols - 1, (rows - 1) * cols, rows * cols - 1])
    return np.concatenate([corners, spread])


Answer = Callable[[NDArray[np.float32]], NDArray[np.float32]]

EXAMPLES = 2
"""Patches that a graph is traced with; with one, exporters take N for a constant."""


@dataclass(frozen=True)
class Format:
    """How one kind of file is written and used: its ending, and three functions."""

    suffix: str
    check: Callable[[], None]
    write: Callable[[Path, nn.Module, Tensor, Mapping[str, str]], None]
    open: Callable[[Path], Answer | None]


FORMATS = {
    "onnx": Format(".onnx", check_onnx, write_onnx, open_onnx),
    "torchscript": Format(".pt", check_torchscript, write_torchscript, open_torchscript),
}


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    file, format
        Path, and a key of `FORMATS`.
    megabytes
        Size (10^6 bytes).
    facts
        What the file says of itself.
    check
        The comparison with the run, or None where the runtime is not installed.
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

    Input ``patches``: float32 ``(N, bands, P, P)``, any N, pixels round the centre as in
    `hsi.datasets.patches`, all of the scene's bands in its own unit. NaN marks a pixel that is not there:
    beyond the edge of the scene, beyond the area of the centre, or without data; `raw_patches` cuts such
    patches. A run with padding "reflect" wants the scene mirrored beyond its edge instead. Output
    ``probabilities``: float32 ``(N, classes)``; column k - 1 is class k. Band choice, scaling, components and
    softmax are inside, all in float32, whatever precision the run was trained in.

    The file stands under its name only once it has answered as the run on patches of the scene; a file that
    was there before is replaced.

    Parameters
    ----------
    run, scene
        A finished run of a network, and the scene that it was trained on.
    out
        The file; its ending is that of the format. Default ``model.onnx`` or ``model.pt`` in the run folder.
    format
        "onnx" or "torchscript".

    Raises
    ------
    ConfigError
        For an unknown format, another ending, a missing folder, or a missing extra.
    RunError
        When the run is not finished, or is no network's.
    ExportError
        When the format cannot hold the network, or the file answers otherwise than the run.
    """
    path, kind = check_target(run, out, format)
    graph = graph_of(run)
    facts = facts_of(run)
    reference = Reference(run, scene)
    example = torch.from_numpy(reference.patches[:EXAMPLES])
    with written_whole(path) as temporary:
        kind.write(temporary, graph, example, facts)
        answer = kind.open(temporary)
        check = None if answer is None else reference.compare(answer)
        size = temporary.stat().st_size / 1e6
    return Exported(path, format, size, facts, check)


def check_target(run: Run, out: str | Path | None, format: str) -> tuple[Path, Format]:
    """Return where a format is written and how; raise ConfigError where that cannot be."""
    if format not in FORMATS:
        raise ConfigError(unknown("format", format, FORMATS))
    kind = FORMATS[format]
    path = run.path / f"model{kind.suffix}" if out is None else Path(out)
    if path.suffix.lower() != kind.suffix:
        raise ConfigError(f"A file of format {format} ends with {kind.suffix}, which '{path}' does not.")
    if not path.parent.is_dir():
        raise ConfigError(f"The folder '{path.parent}' for the file does not exist.")
    if path.is_dir():
        raise ConfigError(f"'{path}' is a folder; name a file.")
    kind.check()
    return path, kind
