"""Trained networks as ONNX files for other tools."""

from hsi.export.writer import FORMATS, Exported, export_run, raw_patches

__all__ = ["FORMATS", "Exported", "export_run", "raw_patches"]
