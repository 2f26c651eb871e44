"""Building what a run classifies pixels with, from its options: the network, the views of it, its patches."""

from __future__ import annotations

import torch
from torch import nn

from hsi.datasets.patches import PatchCutter
from hsi.datasets.preprocess import Preprocess
from hsi.datasets.scene import Scene
from hsi.datasets.split import Split
from hsi.models.registry import build_with
from hsi.models.symmetry import SymmetryAverage
from hsi.runs.config import Config


def build_network(config: Config, bands: int, classes: int) -> nn.Module:
    """Build the network of a run, its random start fixed by the run's seed."""
    torch.manual_seed(config.seed)
    return build_with(config.model, bands, classes, config.patch, config.model_options)


def as_classifier(network: nn.Module, config: Config) -> nn.Module:
    """Return what classifies pixels once the network is trained: itself, or its average over symmetries."""
    return SymmetryAverage(network) if config.tta else network


def make_cutter(
    scene: Scene, preprocess: Preprocess, split: Split | None, config: Config, device: str | torch.device
) -> PatchCutter:
    """Cut patches from the preprocessed scene; under guard "mask" a patch sees only its own area."""
    return PatchCutter(
        preprocess.transform(scene.cube),
        config.patch,
        regions=None if split is None else split.patch_regions,
        padding=config.padding,
        device=device,
    )
