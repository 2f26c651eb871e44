"""Dropout for any network: some of the features that its last layer reads are zero in each training step."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

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
