"""KANet as its released code computes it: plain backbone, KAN layers by recursion."""

from __future__ import annotations

from hsi.models.kanet import KANet

from .densenet3d import PlainDenseNet3D
from .kan import RecursiveKANConv3d


def plain_kanet(ours: KANet) -> PlainDenseNet3D:
    """Return the plain network with reference KAN layers (Li and Ye, arXiv 2504.15155)."""
    return PlainDenseNet3D(ours, RecursiveKANConv3d)
