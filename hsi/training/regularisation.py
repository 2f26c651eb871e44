"""Dropout for any network: some of the features that its last layer reads are zero in each training step.

The running mean of a network's weights, which is validated and kept in place of the weights themselves.

Polyak and Juditsky (Acceleration of stochastic approximation by averaging, 1992), with an exponential window.
The batch-norm statistics that go with the mean weights are measured, not averaged: each is a running mean
already, and a mean of it would lag far behind, most of all where the first values (mean 0, variance 1) are
far from the true ones, as in WCNet's bottlenecks.
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


def drop_features(network: nn.Module, share: float) -> None:
    """Have a network zero features before its last linear layer, in training mode only.

    Each feature of each patch is zero with probability `share`, and the others grow by ``1 / (1 - share)``
    (Srivastava et al., Dropout, JMLR 2014). That they are those before the last linear layer is our decision:
    every network here ends in one, and nothing is normalised behind it. Weights and their names stay as they
    are; draws come from PyTorch's global generator.

    Parameters
    ----------
    network
        Any network with an ``nn.Linear``; the last one in it is taken for its last layer.
    share
        From 0 to below 1.

    Raises
    ------
    ConfigError
        For a network without a linear layer.
    """
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ConfigError("dropout works before a network's last linear layer; this network has none.")
    linear[-1].register_forward_pre_hook(partial(_zero_some, share=share))


def _zero_some(layer: nn.Module, inputs: tuple[Any, ...], share: float) -> tuple[Any, ...]:
    features: Tensor = inputs[0]
    return (functional.dropout(features, share, layer.training), *inputs[1:])


class RunningMean(AveragedModel):
    """A copy of a network (``.module``) that follows the mean of its weights.

    The first update copies the weights w; update t = 1, 2 ... turns their mean m into ``m + (1 - d) (w - m)``
    with the decay ``d = min(decay, (1 + t) / (10 + t))``: the window grows with the training until it is ``1
    / (1 - decay)`` steps long, so that a short training does not keep its start. (The warm-up of TensorFlow's
    ``ExponentialMovingAverage``, whose ``num_updates`` is t.) Buffers that are no statistics, such as KANet's
    knots, are averaged with the weights that belong to them.

    Parameters
    ----------
    model
        The network in training; it is copied once and never changed.
    decay
        From 0 to below 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        super().__init__(model, multi_avg_fn=self._approach, use_buffers=True)

    def settle(self, batches: Iterable[Tensor]) -> None:
        """Measure the batch-norm statistics of the mean weights on batches of equal size.

        Each batch is ``(N, bands, P, P)``, drawn at random: neighbours alone vary less than the scene does.
        Networks without batch norm stay as they are. No random state outside is moved.
        """
        devices = {tensor.device for tensor in self.module.parameters() if tensor.device.type == "cuda"}
        with torch.random.fork_rng(devices=devices):  # for networks with dropout
            update_bn(batches, self.module)

    def _approach(self, means: Sequence[Tensor], now: Sequence[Tensor], updates: Tensor | int) -> None:
        t = int(updates)
        get_ema_multi_avg_fn(min(self.decay, (1 + t) / (10 + t)))(means, now, updates)
