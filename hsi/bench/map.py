"""A map of a whole scene beside the plain way: a loop over a DataLoader that cuts the same patches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from hsi.bench.equality import check_difference, relative_difference
from hsi.bench.networks import speed
from hsi.bench.scale import Scale
from hsi.bench.setting import Setting
from hsi.bench.timing import interleave, summary
from hsi.errors import HsiError
from hsi.mapping.blocks import SceneBlocks
from hsi.mapping.classify import classify_scene
from hsi.mapping.predict import BATCH
from hsi.models.cost import count_macs
from hsi.models.registry import build_model

NETWORKS = ("densenet3d", "ssrn", "hybridsn", "cnn1d")
"""The backbone, whose patches share nothing, and the networks whose patches do."""


class Patches(Dataset[Tensor]):
    """The patch of each pixel of a scene ``(rows, cols, bands)``, framed with zeros; one at a time."""

    def __init__(self, cube: Tensor, patch: int) -> None:
        margin = patch // 2
        self.rows, self.cols = cube.shape[:2]
        self.patch = patch
        self._framed = F.pad(cube.permute(2, 0, 1), (margin, margin, margin, margin))

    def __len__(self) -> int:
        return self.rows * self.cols

    def __getitem__(self, pixel: int) -> Tensor:
        """Return ``(bands, P, P)``."""
        row, col = divmod(pixel, self.cols)
        return self._framed[:, row : row + self.patch, col : col + self.patch]


def loader_loop(network: nn.Module, cube: Tensor, patch: int, setting: Setting) -> Tensor:
    """Return logits ``(rows * cols, classes)`` on the CPU, batch by batch from a DataLoader."""
    loader = DataLoader(Patches(cube, patch), batch_size=BATCH)
    with torch.inference_mode(), setting.autocast():
        return torch.cat([network(batch.to(setting.device)).float().cpu() for batch in loader])


def whole_map(network: nn.Module, cube: NDArray[np.float32], scale: Scale, setting: Setting) -> Tensor:
    """Return the same as `hsi map` computes it."""
    blocks = SceneBlocks(cube, np.copy, scale.bands, scale.patch)
    logits = np.empty((*cube.shape[:2], scale.classes), np.float32)
    with setting.autocast():
        for window, found, _ in classify_scene(network, blocks, scale.classes, device=setting.device):
            logits[window.top : window.bottom, window.left : window.right] = found
    return torch.from_numpy(logits.reshape(-1, scale.classes))


def measure_map(scale: Scale, setting: Setting) -> list[dict[str, Any]]:
    """Measure maps of a random scene; one row a network.

    ``ratio`` is the loop's median time over ours; ``macs`` and ``loop_macs`` are multiply-adds a pixel.

    Raises
    ------
    HsiError
        When the two ways do not give the same logits and labels.
    """
    return [_measure(name, scale, setting) for name in NETWORKS]


def _measure(name: str, scale: Scale, setting: Setting) -> dict[str, Any]:
    device = setting.apply()
    torch.manual_seed(0)
    network = build_model(name, bands=scale.bands, classes=scale.classes, patch=scale.patch).eval()
    loop_macs = count_macs(network, scale.bands, scale.patch)
    side = scale.map_side
    cube = torch.randn(side, side, scale.bands, generator=torch.Generator().manual_seed(1))
    macs = _macs_of_map(network, cube.numpy(), scale, setting)
    network.to(device)
    actions: dict[str, Callable[[], Tensor]] = {
        "ours": lambda: whole_map(network, cube.numpy(), scale, setting),
        "loop": lambda: loader_loop(network, cube, scale.patch, setting),
    }
    ours, loop = (action() for action in actions.values())
    difference = relative_difference(ours, loop)
    check_difference(f"The map by {name}", difference, setting.precision)
    if setting.precision == "float32" and not torch.equal(ours.argmax(dim=1), loop.argmax(dim=1)):
        raise HsiError(f"The map by {name} has other labels than the loop over patches.")
    taken = interleave(actions, device, rounds=scale.rounds, seconds=scale.seconds)
    seconds = {way: summary(samples) for way, samples in taken.items()}
    return {
        "name": name,
        "scene": [side, side, scale.bands],
        "difference": difference,
        "macs": macs,
        "loop_macs": loop_macs,
        "ours_side": {"seconds": seconds["ours"], **speed(seconds["ours"], side * side)},
        "loop_side": {"seconds": seconds["loop"], **speed(seconds["loop"], side * side)},
        "ratio": seconds["loop"]["median"] / seconds["ours"]["median"],
    }


def _macs_of_map(network: nn.Module, cube: NDArray[np.float32], scale: Scale, setting: Setting) -> float:
    """Return multiply-adds a pixel of the whole map, margins of cells included."""
    counter = FlopCounterMode(display=False)
    with counter:
        whole_map(network, cube, scale, Setting("cpu", setting.threads))
    return int(counter.get_total_flops()) / 2 / (cube.shape[0] * cube.shape[1])
