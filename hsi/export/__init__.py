"""Trained networks as files for other tools: ONNX and TorchScript."""

from hsi.export.patches import raw_patches
from hsi.export.write import FORMATS, Exported, export_run

__all__ = ["FORMATS", "Exported", "export_run", "raw_patches"]
