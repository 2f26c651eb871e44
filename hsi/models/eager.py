"""Whether operations run one by one, so that hand-written backward passes may stand in for PyTorch's own."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode


def runs_eagerly() -> bool:
    """Tell whether no compiler or tracer is looking and no dispatch mode is on (FLOP counters are one).

    Those take the plain form of an operator, which they can read.
    """
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined]
    return not (torch.compiler.is_compiling() or tracing or _get_current_dispatch_mode() is not None)


def is_written_out() -> bool:
    """Tell whether the network is being traced for a file: by ``torch.export`` or TorchScript's tracer.

    Such a graph must hold for any number of samples, so nothing may depend on how many there are now.
    """
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined]
    exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)  # PyTorch 2.6 lacks it
    return tracing or exporting()
