"""Straightforward references that `hsi bench` measures beside the toolkit's operators.

Each computes an operator or network the way its source paper's public code does, written anew from the
formulas, in plain PyTorch. They are only measured and compared with: nothing imports them, and the package
does not ship them. ``REFERENCES`` maps the name of a case to a function from our module to its reference. A
reference has copies of our parameters under the same names, or uses ours and keeps our module as ``ours``.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from .densenet3d import PlainDenseNet3D
from .expert import GroupedExpertConv3d
from .kan import RecursiveKANConv3d
from .kanet import plain_kanet
from .snake import SampledSnakes
from .transformer import MultiheadTransformer, fused_multihead_transformer
from .wavelet import StridedWaveletConv3d

REFERENCES: dict[str, Callable[..., nn.Module]] = {
    "kan": RecursiveKANConv3d,
    "kan-3x3x3": RecursiveKANConv3d,
    "snake": SampledSnakes,
    "wavelet": StridedWaveletConv3d,
    "expert": GroupedExpertConv3d,
    "transformer": MultiheadTransformer,
    "transformer-fused": fused_multihead_transformer,
    "kanet-step": plain_kanet,
    "backbone-step": PlainDenseNet3D,
}
