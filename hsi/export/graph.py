"""What is exported: a run's preprocessing, its best network and the softmax as one module.

Each preprocessing step is affine for each pixel, so it becomes part of the graph. The graph computes in
float32, which every runtime has. A band's mean is kept as the sum of two float32 numbers, so that subtracting
a mean far larger than the spread loses no digits.
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

INPUT, OUTPUT = "patches", "probabilities"


class Features(nn.Module):
    """The steps of a fitted `Preprocess`, for patches.

    Raises
    ------
    ExportError
        For a step that cannot be exported.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.steps = nn.ModuleList([_as_module(step) for step in preprocess.steps_])

    def forward(self, patches: Tensor) -> Tensor:
        """``(N, bands, P, P)`` as measured to ``(N, features, P, P)``; a pixel with NaN or infinity is zero.

        Zeros mark pixels beyond the scene or the centre's region, as in training, and pixels without data, as
        on a map.
        """
        valid: Tensor | None = None
        for step in self.steps:
            patches = step(patches)
            if isinstance(step, _Standardise):
                valid = torch.isfinite(patches).all(dim=1, keepdim=True)
            if valid is not None:
                patches = torch.where(valid, patches, torch.zeros_like(patches))
        return patches


class _SelectBands(nn.Module):
    keep: Tensor

    def __init__(self, step: BandList) -> None:
        super().__init__()
        self.register_buffer("keep", torch.from_numpy(step.keep))

    def forward(self, patches: Tensor) -> Tensor:
        return patches.index_select(1, self.keep)


class _Standardise(nn.Module):
    high: Tensor
    low: Tensor
    gain: Tensor

    def __init__(self, step: Standardise) -> None:
        super().__init__()
        high = step.mean_.astype(np.float32)
        gain = np.divide(1.0, step.scale_, out=np.zeros_like(step.scale_), where=step.scale_ > 0)
        self.register_buffer("high", _per_band(high))
        self.register_buffer("low", _per_band(step.mean_ - high))
        self.register_buffer("gain", _per_band(gain))

    def forward(self, patches: Tensor) -> Tensor:
        return (patches - self.high - self.low) * self.gain


class _Project(nn.Module):
    weight: Tensor
    offset: Tensor

    def __init__(self, step: PCA) -> None:
        super().__init__()
        self.register_buffer("weight", torch.from_numpy(step.components_).float()[:, :, None, None])
        self.register_buffer("offset", torch.from_numpy(-step.components_ @ step.mean_).float())

    def forward(self, patches: Tensor) -> Tensor:
        return functional.conv2d(patches, self.weight, self.offset)


def _per_band(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.asarray(values)).float()[:, None, None]


def _as_module(step: object) -> nn.Module:
    if isinstance(step, BandList):
        return _SelectBands(step)
    if isinstance(step, Standardise):
        return _Standardise(step)
    if isinstance(step, PCA):
        return _Project(step)
    raise ExportError(f"The preprocessing step {type(step).__name__} cannot be exported.")


class Graph(nn.Module):
    """From measured patches to class probabilities."""

    def __init__(self, features: Features, classifier: nn.Module) -> None:
        super().__init__()
        self.features, self.classifier = features, classifier

    def forward(self, patches: Tensor) -> Tensor:
        """``(N, bands, P, P)`` float32, NaN for missing pixels, to probabilities ``(N, classes)``."""
        logits: Tensor = self.classifier(self.features(patches))
        return torch.softmax(logits.float(), dim=1)


def graph_of(run: Run) -> Graph:
    """Return the graph of a finished run with the weights that it kept, on the CPU, in evaluation mode.

    With ``tta``, the graph averages over the eight orientations of each patch, as the run does.

    Raises
    ------
    RunError
        When the run is not finished, or is of a model that is no network.
    """
    network = run.load_model("cpu")
    if isinstance(network, Estimator):
        raise RunError(
            f"The run '{run.path}' is of {run.metrics['model']}, which is no network and has no graph; "
            "only networks can be exported."
        )
    classifier = as_classifier(network, run.config)
    return Graph(Features(run.preprocess), classifier).eval().requires_grad_(False)


def facts_of(run: Run) -> dict[str, str]:
    """Return the metadata of an exported file; lists are JSON.

    ``class_names`` are in the order of the output's columns, ``wavelengths_nm`` (if known) in that of the
    input's bands; ``band_choice`` says which bands of the scene's file these are.
    """
    metrics, config = run.metrics, run.config
    outside = "NaN" if config.padding == "zeros" else "the scene mirrored, without repeating the edge"
    facts: dict[str, Any] = {
        "hsi_version": __version__,
        "model": metrics["model"],
        "scene": metrics["dataset"],
        "seed": metrics["seed"],
        "patch": config.patch,
        "bands": metrics["bands"],
        "class_names": metrics["class_names"],
        "wavelengths_nm": metrics.get("wavelengths_nm"),
        "band_choice": metrics.get("band_choice"),
        "padding": config.padding,
        "input": (
            "patches: float32 (N, bands, patch, patch), the scene's own values; beyond the edge of the "
            f"scene: {outside}; beyond the region of the centre, and for pixels without data: NaN"
        ),
        "output": "probabilities: float32 (N, classes), column k - 1 is class k",
    }
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in facts.items()
        if value is not None
    }
