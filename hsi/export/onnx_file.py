"""Graphs as ONNX files, by PyTorch's exporter, and their answers in ONNX Runtime.

Needs the optional extra ``export``. The exporter is the one built on ``torch.export``; the older one, built
on TorchScript, is deprecated.
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

from hsi.errors import ConfigError, ExportError
from hsi.export.graph import INPUT, OUTPUT

Floats = NDArray[np.float32]


def check_onnx() -> None:
    """Raise ConfigError when what writes ONNX files is not installed."""
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise ConfigError(f"ONNX needs {package}, which is not installed: pip install 'hsi[export]'.")


def write_onnx(path: Path, graph: nn.Module, example: Tensor, facts: Mapping[str, str]) -> None:
    """Write a graph with a free N as one file; `facts` are its metadata_props.

    Raises
    ------
    ExportError
        When the network has an operation that ONNX does not have.
    """
    try:
        with _without_chatter(), torch.no_grad():
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
        raise ExportError(f"PyTorch cannot write this network as ONNX: {_first_line(error)}") from error


def open_onnx(path: Path) -> Callable[[Floats], Floats] | None:
    """Return what answers with the file's probabilities, or None where ONNX Runtime is not installed."""
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def answer(patches: Floats) -> Floats:
        probabilities: Floats = session.run([OUTPUT], {INPUT: patches})[0]
        return probabilities

    return answer


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Leave out what the exporter says of itself.

    That torchvision, which no network here needs, is not installed (logged), and that PyTorch uses its own
    deprecated types (FutureWarning). What is wrong with a graph it raises, and the file is checked.
    """
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        log.setLevel(level)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0].rstrip('.')}." if lines else f"{type(error).__name__}."
