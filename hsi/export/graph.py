"""The graph that is written: a run's preprocessing, its best network and the softmax as one module."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor, nn

from hsi import __version__
from hsi.errors import RunError
from hsi.export.features import Features
from hsi.runs.building import as_classifier
from hsi.runs.folder import Run
from hsi.training.at_once import FitsAtOnce

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
    if isinstance(network, FitsAtOnce):
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
