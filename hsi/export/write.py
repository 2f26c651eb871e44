"""A finished run as one file for other tools, checked against the run before it gets its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsi.datasets.scene import Scene
from hsi.errors import ConfigError, unknown
from hsi.export.check import Check, Reference
from hsi.export.graph import facts_of, graph_of
from hsi.export.onnx_file import check_onnx, open_onnx, write_onnx
from hsi.export.torchscript_file import check_torchscript, open_torchscript, write_torchscript
from hsi.files.atomic import written_whole
from hsi.runs.folder import Run

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
