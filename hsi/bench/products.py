"""The rate at which this machine multiplies matrices: the ceiling for all that convolutions do."""

from __future__ import annotations

import torch

from hsi.bench.setting import Setting
from hsi.models.matrix_product import matrix_product

SIZE = {"cpu": 2048, "cuda": 8192, "mps": 4096}


class MatrixProduct:
    """One product of two square matrices, in the precision of the run, by the fastest library at hand."""

    def __init__(self, setting: Setting) -> None:
        size = SIZE[setting.device]
        dtype = torch.bfloat16 if setting.precision == "bf16" else torch.float32
        self.operations = 2 * size**3
        """Additions and multiplications of one product."""
        self._a, self._b = (torch.randn(size, size, device=setting.device, dtype=dtype) for _ in range(2))

    def __call__(self) -> None:
        """Multiply once."""
        matrix_product(self._a, self._b)
