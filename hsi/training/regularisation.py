"""Dropout before the last layer of any network, and the moving average of a network's weights.

The average (Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992, with an
exponential window) is validated and kept in place of the weights. Its batch-norm statistics are measured, not
averaged: each is a running mean already, and a mean of it would lag far behind, most of all where the first
values (mean 0, variance 1) are far from the true ones, as in WCNet's bottlenecks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from hsi.errors import ConfigError


def drop_features(network: nn.Module, probability: float) -> None:
    """Add dropout (Srivastava et al., JMLR 2014) before a network's last linear layer, in training mode only.

    Every network here ends in a linear layer with no normalisation behind it. Weights and their names stay as
    they are; draws come from PyTorch's global generator.

    Raises
    ------
    ConfigError
        For a network without a linear layer.
    """
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ConfigError("dropout works before a network's last linear layer; this network has none.")
    linear[-1].register_forward_pre_hook(partial(_dropout_hook, probability=probability))


def _dropout_hook(layer: nn.Module, inputs: tuple[Any, ...], probability: float) -> tuple[Any, ...]:
    features: Tensor = inputs[0]
    return (functional.dropout(features, probability, layer.training), *inputs[1:])


class ExponentialMovingAverage(AveragedModel):
    """A copy of a network (``.module``) with the exponential moving average of its weights.

    The first update copies the weights w; update t = 1, 2 ... turns their mean m into ``m + (1 - d) (w - m)``
    with the decay ``d = min(decay, (1 + t) / (10 + t))``, the warm-up of TensorFlow's
    ``ExponentialMovingAverage``: a short training does not keep its start. Buffers that are no statistics,
    such as KANet's knots, are averaged with the weights that belong to them.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        super().__init__(model, multi_avg_fn=self._average, use_buffers=True)

    def update_batch_norm(self, batches: Iterable[Tensor]) -> None:
        """Measure the batch-norm statistics of the mean weights on batches of equal size.

        Each batch is ``(N, features, P, P)`` of random pixels: neighbours vary less than the scene does.
        Networks without batch norm stay as they are, and so does the random state.
        """
        devices = {tensor.device for tensor in self.module.parameters() if tensor.device.type == "cuda"}
        with torch.random.fork_rng(devices=devices):  # for networks with dropout
            update_bn(batches, self.module)

    def _average(self, means: Sequence[Tensor], weights: Sequence[Tensor], updates: Tensor | int) -> None:
        t = int(updates)
        get_ema_multi_avg_fn(min(self.decay, (1 + t) / (10 + t)))(means, weights, updates)
