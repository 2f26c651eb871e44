"""Networks: the backbone, one file per paper, and the operators they share.

Knows nothing of scenes or training. Importing a network's file adds it to the table; the order here is the
order of `hsi models`.
"""

# ruff: isort: skip_file
from hsi.models.registry import ModelEntry, build_model, list_models, model_entry, register_model
from hsi.models.registry import cost_of, count_macs
from hsi.models.densenet3d import DenseNet3D
from hsi.models.stnet import SpatialSpectralTransformer
from hsi.models.kanet import KANConv3d
from hsi.models.ekgnet import ExpertKernelConv3d
from hsi.models.wcnet import WaveletConv3d
from hsi.models.sgdscnet import SnakeConv3d
from hsi.models.cnn1d import CNN1D
from hsi.models.hybridsn import HybridSN
from hsi.models.ssrn import SSRN
from hsi.models.spectralformer import SpectralFormer
from hsi.models.classical import Classical
from hsi.models.spectral_matching import SpectralMatching

__all__ = [
    "CNN1D",
    "SSRN",
    "Classical",
    "DenseNet3D",
    "ExpertKernelConv3d",
    "HybridSN",
    "KANConv3d",
    "ModelEntry",
    "SnakeConv3d",
    "SpatialSpectralTransformer",
    "SpectralFormer",
    "SpectralMatching",
    "WaveletConv3d",
    "build_model",
    "cost_of",
    "count_macs",
    "list_models",
    "model_entry",
    "register_model",
]
