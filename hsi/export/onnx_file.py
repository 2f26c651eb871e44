"""Graphs as ONNX files, and their output in ONNX Runtime; needs the optional extra ``export``.

The files are written by PyTorch's exporter built on ``torch.export``; the older one is deprecated.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsi.errors import ConfigError, ExportError, install_command
from hsi.export.graph import INPUT, OUTPUT

Floats = NDArray[np.float32]


def check_onnx() -> None:
    """Raise ConfigError when a package that writes ONNX files is not installed."""
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise ConfigError(f"ONNX needs {package}, which is not installed: {install_command('export')}.")


def write_onnx(path: Path, graph: nn.Module, example: Tensor, facts: Mapping[str, str]) -> None:
    """Write a graph with a free N as one file; `facts` become its metadata_props.

    Raises
    ------
    ExportError
        When the network has an operation that ONNX does not have.
    """
    try:
        with _without_known_warnings(), torch.no_grad():
            program: Any = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("N")},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
            )
        program.model.metadata_props.update(facts)
        program.save(str(path), external_data=False)
    except OSError:
        raise
    except Exception as error:  # the exporter has an error type for each of its stages
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = (lines or [type(error).__name__])[0].rstrip(".")
        raise ExportError(f"PyTorch cannot write this network as ONNX: {reason}.") from error


def open_onnx(path: Path) -> Callable[[Floats], Floats] | None:
    """Return a function from patches to the file's probabilities, or None without ONNX Runtime."""
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def predict(patches: Floats) -> Floats:
        probabilities: Floats = session.run([OUTPUT], {INPUT: patches})[0]
        return probabilities

    return predict


@contextmanager
def _without_known_warnings() -> Iterator[None]:
    """Silence what the exporter says of itself: torchvision is missing, its own types are deprecated."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        log.setLevel(level)
