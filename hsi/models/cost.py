"""What a network costs: its parameters, and the multiply-accumulates of one patch."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    operations: int = sdpa_flop_count(query, key, value)
    return operations


# PyTorch counts the fused attention of a GPU, but not that of a CPU.
_MISSING = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}


def count_macs(model: nn.Module, bands: int, patch: int) -> int:
    """Return the multiply-accumulates of one forward pass over one patch.

    Convolutions, linear layers and matrix products count, taps that meet padding included; additions, norms
    and activations do not. A copy of the model runs once on a CPU in evaluation mode, under PyTorch's
    counter; the backbone's fused operators take their plain form there, so what they compute in excess does
    not count.

    Parameters
    ----------
    model
        Maps ``(N, bands, P, P)`` to logits; left as it is.
    bands, patch
        Number of bands and patch width P of the input.

    Returns
    -------
    int
        Half of what ``torch.utils.flop_counter`` counts.
    """
    twin = copy.deepcopy(model).to(device="cpu", dtype=torch.float32).eval()
    counter = FlopCounterMode(display=False, custom_mapping=_MISSING)
    with counter, torch.no_grad():
        twin(torch.zeros(1, bands, patch, patch))
    return int(counter.get_total_flops()) // 2


def cost_of(model: nn.Module, bands: int, patch: int) -> dict[str, int | None]:
    """Return ``{"params": ..., "macs": ...}``; both None for a model without parameters, such as an SVM.

    Such a model's work is outside PyTorch and depends on how many pixels it was fitted on.
    """
    params = sum(p.numel() for p in model.parameters())
    return {"params": params or None, "macs": count_macs(model, bands, patch) if params else None}
