"""What the mechanism that names a network does: a trained network with and without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from hsi.datasets.cube import Window
from hsi.datasets.patches import PatchCutter
from hsi.datasets.scene import Scene
from hsi.errors import ModelError
from hsi.explain.layers import LOOKS, load_network
from hsi.explain.probe import choose_pixels
from hsi.figures.style import COLORS, COLUMN_INCHES, STYLE, Picture
from hsi.inference.predict import as_classifier, predict_logits
from hsi.inference.run import Run
from hsi.models.device import choose_device
from hsi.models.protocols import Switchable

_ROW_INCHES, _MARGIN_INCHES = 0.5, 0.75


def mechanisms_of(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the mechanisms of a network that can be switched off; see `Switchable`."""
    blocks = [module for module in network.modules() if isinstance(module, Switchable)]
    return tuple(dict.fromkeys(block.mechanism for block in blocks))


@contextmanager
def switched_off(network: nn.Module, mechanism: str) -> Iterator[None]:
    """Switch a mechanism off in all blocks of a network while the context lasts.

    Raises
    ------
    ModelError
        When the network has no such mechanism.
    """
    blocks = [module for module in network.modules() if isinstance(module, Switchable)]
    parameters = [p for block in blocks if block.mechanism == mechanism for p in block.switch_parameters()]
    if not parameters:
        has = ", ".join(mechanisms_of(network)) or "none"
        raise ModelError(f"This network has no mechanism '{mechanism}' to switch off; it has: {has}.")
    kept = [parameter.detach().clone() for parameter in parameters]
    try:
        _fill(parameters, [torch.zeros_like(value) for value in kept])
        yield
    finally:
        _fill(parameters, kept)


@torch.no_grad()
def _fill(parameters: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


@dataclass(frozen=True)
class WithoutMechanism:
    """A trained network without one of its mechanisms.

    Attributes
    ----------
    mechanism
        What was switched off, such as "wavelets".
    oa, oa_without
        Overall accuracy with the mechanism and without it, fractions; None where no pixel is labelled.
    changed
        Fraction of the pixels whose label changes.
    moved
        Probability that moves to other classes, mean over the pixels: half the sum of absolute differences
        of the class probabilities, from 0 to 1. It tells a mechanism that only makes a network surer from one
        that does nothing.
    """

    mechanism: str
    oa: float | None
    oa_without: float | None
    changed: float
    moved: float


@dataclass(frozen=True)
class SwitchOff:
    """What each mechanism of a trained network does.

    Attributes
    ----------
    rows
        One for each mechanism.
    pixels, labelled
        Number of pixels, and of those with a label, which the accuracies are of.
    """

    rows: tuple[WithoutMechanism, ...]
    pixels: int
    labelled: int

    def figure(self) -> Figure:
        """Draw both accuracies of each mechanism as bars, with the share of labels that change."""
        with rc_context(STYLE):
            height = len(self.rows) * _ROW_INCHES + _MARGIN_INCHES
            figure = Picture(figsize=(COLUMN_INCHES, height), layout="constrained")
            axes = figure.subplots()
            for place, row in enumerate(self.rows):
                for shift, oa, color in ((-0.2, row.oa, COLORS[0]), (0.2, row.oa_without, COLORS[1])):
                    if oa is not None:
                        axes.barh(place + shift, 100 * oa, height=0.36, color=color)
                        text = f"{100 * oa:.2f}"
                        axes.text(1, place + shift, text, va="center", color="white", fontsize=6)
            names = [f"{row.mechanism}\n{100 * row.changed:.1f} % of labels change" for row in self.rows]
            axes.set_yticks(range(len(self.rows)), names)
            axes.set_ylim(len(self.rows) - 0.5, -0.5)
            axes.set_xlim(0, 100)
            axes.set_xlabel(f"OA (%) of {self.labelled} pixels")
            bars = [Patch(color=color) for color in COLORS[:2]]
            names = ["As trained", "Switched off"]
            figure.legend(bars, names, loc="outside upper left", ncols=2, frameon=False)
        return figure


def switch_off(
    run: Run, scene: Scene | None = None, pixels: ArrayLike | None = None, *, device: str = "auto"
) -> SwitchOff:
    """Switch each mechanism of a trained network off, without training it again, and classify pixels.

    KANet loses its splines (SiLU is left), EKGNet the choice of experts (all weigh the same), SG-DSCNet the
    offsets (snakes are straight), STNet the gate (both attentions have half), WCNet the wavelets (the base
    convolution is left). Networks of other packages take part by `hsi.models.protocols.Switchable`. That the
    rest was trained with the mechanism, and could do better if trained without, is not seen: a large loss
    shows that the network uses it, not that it needs it.

    Parameters
    ----------
    run
        A finished run of one of these networks.
    scene
        The scene that `pixels` count in; that of the run if None.
    pixels
        Row-major flat indices; None for all test pixels of the run.
    device
        "auto", "cpu", "cuda" or "mps".

    Raises
    ------
    ModelError
        For a run of a network without such a mechanism.
    ConfigError, SceneError, SplitError
        For pixels that are not whole numbers, not in the scene, or not named for another scene.
    RunError
        When the scene's bands do not fit.
    """
    network = load_network(run, device)
    names = mechanisms_of(network)
    if not names:
        raise ModelError(
            f"hsi.explain.switch_off is for {', '.join(LOOKS)}, but '{run.path}' is a run of "
            f"{run.config.model}, which has no mechanism to switch off; use hsi.explain.receptive_field."
        )
    scene = scene or run.load_scene()
    if pixels is None:
        run.split.check(scene)
        chosen = run.split.test
    else:
        chosen = choose_pixels(run, scene, pixels)
    cutter, places = _whole_scene(run, scene, chosen, choose_device(device))
    classifier = as_classifier(network, run.config).eval()
    # Labels of another scene count as truth only if they name the same classes.
    same = tuple(scene.class_names) == tuple(run.metrics["class_names"])
    truth = scene.labels.ravel()[chosen] if same else np.zeros(len(chosen), np.int64)
    before = predict_logits(classifier, cutter, places)
    rows = []
    for name in names:
        with switched_off(network, name):
            after = predict_logits(classifier, cutter, places)
        rows.append(_compare(name, before, after, truth))
    return SwitchOff(tuple(rows), len(chosen), int(np.count_nonzero(truth)))


def _whole_scene(
    run: Run, scene: Scene, pixels: NDArray[np.int64], device: torch.device
) -> tuple[PatchCutter, NDArray[np.int64]]:
    """Preprocess the scene as for a map; return what cuts its patches, and the pixels' places in it."""
    blocks = run.blocks(scene)
    block = blocks.read(Window(0, scene.rows, 0, scene.cols))
    cutter = PatchCutter(block.values, blocks.patch, regions=block.regions, device=device)
    rows, cols = np.divmod(pixels, scene.cols)
    return cutter, (rows + blocks.margin) * (scene.cols + 2 * blocks.margin) + cols + blocks.margin


def _compare(name: str, before: Tensor, after: Tensor, truth: NDArray[Any]) -> WithoutMechanism:
    labels, without = (logits.argmax(dim=1).numpy() + 1 for logits in (before, after))
    labelled = truth > 0
    difference = torch.softmax(before.double(), dim=1) - torch.softmax(after.double(), dim=1)
    return WithoutMechanism(
        name,
        _accuracy(labels, truth, labelled),
        _accuracy(without, truth, labelled),
        float((labels != without).mean()),
        float(difference.abs().sum(dim=1).mean() / 2),
    )


def _accuracy(labels: NDArray[Any], truth: NDArray[Any], labelled: NDArray[np.bool_]) -> float | None:
    return float((labels == truth)[labelled].mean()) if labelled.any() else None
