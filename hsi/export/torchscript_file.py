"""Graphs as TorchScript files, which C++ and Python load without this package.

PyTorch 2.9 and later call TorchScript deprecated in favour of ``torch.export``: files still load, but new
uses had better take ONNX. `hsi export` says so; here PyTorch's DeprecationWarning is left out for that
reason, and so are the tracer's warnings of shapes that it takes for constants: the bands and the patch are
constants, and that N is none is checked on the file with batches of other sizes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsi.errors import ExportError

Floats = NDArray[np.float32]


def check_torchscript() -> None:
    """TorchScript needs nothing beyond PyTorch."""


def write_torchscript(path: Path, graph: nn.Module, example: Tensor, facts: Mapping[str, str]) -> None:
    """Trace a graph and write it as one file; `facts` are its extra files, by name.

    Raises
    ------
    ExportError
        When the network cannot be traced.
    """
    jit: Any = torch.jit
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", jit.TracerWarning)
            traced = jit.trace(graph, example, check_trace=False)  # the file itself is checked
            jit.save(traced, str(path), _extra_files=dict(facts))
    except OSError:
        raise
    except Exception as error:  # RuntimeError and others, by what the tracer meets
        first = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ExportError(f"PyTorch cannot write this network as TorchScript: {first}.") from error


def open_torchscript(path: Path) -> Callable[[Floats], Floats]:
    """Return what answers with the file's probabilities."""
    jit: Any = torch.jit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loaded = jit.load(str(path), map_location="cpu")

    def answer(patches: Floats) -> Floats:
        with torch.no_grad():
            probabilities: Floats = loaded(torch.from_numpy(patches)).numpy()
        return probabilities

    return answer
