"""Networks: the backbone, one file per paper, and the operators they share.

Knows nothing of scenes or training. Importing a network's file adds it to the table; the order here is the
order of `hsi models`.
"""

# ruff: isort: skip_file
from hsi.models.registry import ModelEntry, build_model, list_models, model_entry, register_model
from hsi.models.cost import count_macs
from hsi.models.densenet3d import DenseNet3D
from hsi.models.stnet import SpatialSpectralTransformer
from hsi.models.kanet import KANConv3d
from hsi.models.ekgnet import ExpertKernelConv3d
from hsi.models.wcnet import WaveletConv3d
from hsi.models.sgdscnet import SnakeConv3d

__all__ = [
    "DenseNet3D",
    "ExpertKernelConv3d",
    "KANConv3d",
    "ModelEntry",
    "SnakeConv3d",
    "SpatialSpectralTransformer",
    "WaveletConv3d",
    "build_model",
    "count_macs",
    "list_models",
    "model_entry",
    "register_model",
]
