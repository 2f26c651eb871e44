"""A run's fitted preprocessing as part of a network's graph.

Each step is affine for each pixel, so the graph takes the scene's own band values. It computes in float32,
which every runtime has, and loses nothing by that: a mean is kept as the sum of two float32 numbers, so that
taking it away does not cancel the digits that matter.

The graph that is written: a run's preprocessing, its best network and the softmax as one module.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hsi import __version__
from hsi.datasets.preprocess import Preprocess
from hsi.datasets.transforms import PCA, BandList, Standardise
from hsi.errors import ExportError, RunError
from hsi.inference.predict import as_classifier
from hsi.inference.run import Run
from hsi.models.protocols import Estimator


class Features(nn.Module):
    """The steps of a `Preprocess`, for patches; pixels that are not there become zeros.

    Parameters
    ----------
    preprocess
        Fitted.

    Raises
    ------
    ExportError
        For a step that has no form for graphs.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        steps = [_as_module(step) for step in preprocess.steps_]
        self.steps = nn.ModuleList(steps)

    def forward(self, patches: Tensor) -> Tensor:
        """``(N, bands, P, P)`` as measured to ``(N, features, P, P)``; a pixel with NaN or infinity is zero.

        So zeros stand where a patch reaches beyond the scene or the area of its centre, as in training, and
        where a scene has no data, as on a map.
        """
        there: Tensor | None = None
        for step in self.steps:
            patches = step(patches)
            if isinstance(step, _Scale):
                there = torch.isfinite(patches).all(dim=1, keepdim=True)
            if there is not None:
                patches = torch.where(there, patches, torch.zeros_like(patches))
        return patches


class _Choose(nn.Module):
    keep: Tensor

    def __init__(self, step: BandList) -> None:
        super().__init__()
        self.register_buffer("keep", torch.from_numpy(step.keep))

    def forward(self, patches: Tensor) -> Tensor:
        return patches.index_select(1, self.keep)


class _Scale(nn.Module):
    high: Tensor
    low: Tensor
    gain: Tensor

    def __init__(self, step: Standardise) -> None:
        super().__init__()
        high = step.mean_.astype(np.float32)
        gain = np.divide(1.0, step.scale_, out=np.zeros_like(step.scale_), where=step.scale_ > 0)
        self.register_buffer("high", _for_bands(high))
        self.register_buffer("low", _for_bands(step.mean_ - high))
        self.register_buffer("gain", _for_bands(gain))

    def forward(self, patches: Tensor) -> Tensor:
        return (patches - self.high - self.low) * self.gain


class _Components(nn.Module):
    weight: Tensor
    offset: Tensor

    def __init__(self, step: PCA) -> None:
        super().__init__()
        self.register_buffer("weight", torch.from_numpy(step.components_).float()[:, :, None, None])
        self.register_buffer("offset", torch.from_numpy(-step.components_ @ step.mean_).float())

    def forward(self, patches: Tensor) -> Tensor:
        return functional.conv2d(patches, self.weight, self.offset)


def _for_bands(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.asarray(values)).float()[:, None, None]


def _as_module(step: object) -> nn.Module:
    if isinstance(step, BandList):
        return _Choose(step)
    if isinstance(step, Standardise):
        return _Scale(step)
    if isinstance(step, PCA):
        return _Components(step)
    raise ExportError(f"The preprocessing step {type(step).__name__} has no form that can be exported.")


INPUT, OUTPUT = "patches", "probabilities"


class Graph(nn.Module):
    """From measured patches to class probabilities."""

    def __init__(self, features: Features, classifier: nn.Module) -> None:
        super().__init__()
        self.features, self.classifier = features, classifier

    def forward(self, patches: Tensor) -> Tensor:
        """``(N, bands, P, P)`` float32, NaN where no pixel is, to probabilities ``(N, classes)``."""
        logits: Tensor = self.classifier(self.features(patches))
        return torch.softmax(logits.float(), dim=1)


def graph_of(run: Run) -> Graph:
    """Return the graph of a finished run with its best weights, on the CPU, in evaluation mode.

    A run with ``tta`` gives a graph that looks at each patch in its eight orientations, as the run does.

    Raises
    ------
    RunError
        When the run is not finished, or is of a classifier that scikit-learn fits.
    """
    network = run.load_model("cpu")
    if isinstance(network, Estimator):
        raise RunError(
            f"The run '{run.path}' is of {run.metrics['model']}, which scikit-learn fits and which has no "
            "graph; only networks can be exported."
        )
    classifier = as_classifier(network, run.config)
    return Graph(Features(run.preprocess), classifier).eval().requires_grad_(False)


def facts_of(run: Run) -> dict[str, str]:
    """Return what a file should say of itself; lists are JSON.

    ``class_names`` are in the order of the output's columns; ``wavelengths_nm`` (where known) of the input's
    bands.
    """
    metrics = run.metrics
    outside = "NaN" if run.config.padding == "zeros" else "the scene mirrored, without repeating the edge"
    facts: dict[str, Any] = {
        "hsi_version": __version__,
        "model": metrics["model"],
        "scene": metrics["dataset"],
        "seed": metrics["seed"],
        "patch": run.config.patch,
        "bands": metrics["bands"],
        "class_names": metrics["class_names"],
        "wavelengths_nm": metrics.get("wavelengths_nm"),
        "padding": run.config.padding,
        "input": (
            "patches: float32 (N, bands, patch, patch), the scene's own values; beyond the edge of the "
            f"scene: {outside}; beyond the area of the centre, and for pixels without data: NaN"
        ),
        "output": "probabilities: float32 (N, classes), column k - 1 is class k",
    }
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in facts.items()
        if value is not None
    }
