"""Trained networks as files for other tools: ONNX and TorchScript."""

from hsi.export.writer import FORMATS, Exported, export_run, raw_patches

__all__ = ["FORMATS", "Exported", "export_run", "raw_patches"]
