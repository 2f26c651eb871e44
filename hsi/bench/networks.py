"""Speed and memory of a network, and its share of the machine's measured matrix-product rate.

The rate of large matrix products is the upper bound for what convolutions can reach.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hsi.bench.cases import InferenceStep, TrainingStep, random_labels, warm_up
from hsi.bench.measure import in_own_process, interleave, peak_growth, summarise
from hsi.bench.setting import Scale, Setting
from hsi.models.kernels.matrix_product import matrix_product
from hsi.models.registry import build_model, count_macs

PRODUCT_SIZE = {"cpu": 2048, "cuda": 8192, "mps": 4096}


class MatrixProduct:
    """One product of two square matrices in the benchmark's precision, by the fastest library at hand."""

    def __init__(self, setting: Setting) -> None:
        size = PRODUCT_SIZE[setting.device]
        dtype = torch.bfloat16 if setting.precision == "bf16" else torch.float32
        self.operations = 2 * size**3
        """Additions and multiplications of one product."""
        self._a, self._b = (torch.randn(size, size, device=setting.device, dtype=dtype) for _ in range(2))

    def __call__(self) -> None:
        """Multiply once."""
        matrix_product(self._a, self._b)


PASSES = {"training": 3, "inference": 1}
"""Multiply-adds of a step over those of the forward pass: backward computes two gradients."""


def measure_network(name: str, scale: Scale, setting: Setting, *, memory: bool = True) -> dict[str, Any]:
    """Measure training and inference of one network, interleaved with matrix products.

    A training step is forward, cross-entropy, backward and Adam. ``share`` is the rate of the counted
    multiply-adds over that of matrix products.
    """
    device = setting.apply()
    steps = make_steps(name, scale, setting)
    product = MatrixProduct(setting)
    actions: dict[str, Callable[[], object]] = {**steps, "product": product}
    for action in actions.values():
        action()
    taken = interleave(actions, device, rounds=scale.rounds, seconds=scale.seconds)
    rate = product.operations / statistics.median(taken["product"])
    network = build_model(name, bands=scale.bands, classes=scale.classes, patch=scale.patch)
    macs = count_macs(network, scale.bands, scale.patch)
    result: dict[str, Any] = {
        "name": name,
        "batch": scale.batch,
        "params": sum(p.numel() for p in network.parameters()),
        "macs": macs,
        "product_gflops": rate / 1e9,
    }
    for kind in steps:
        seconds = summarise(taken[kind])
        speeds = speed(seconds, scale.batch)
        result[kind] = {
            "seconds": seconds,
            **speeds,
            "share": share(kind, macs, speeds["patches_per_second"], rate),
            "peak_memory_mb": in_megabytes(
                in_own_process(_peak_of_step, name, kind, scale, setting) if memory else None
            ),
        }
    return result


def make_steps(name: str, scale: Scale, setting: Setting) -> dict[str, TrainingStep | InferenceStep]:
    """Return a training and an inference step of a network, on the same random patches."""
    network = make_network(name, scale, torch.device(setting.device))
    x = torch.randn(scale.batch, scale.bands, scale.patch, scale.patch).to(setting.device)
    labels = random_labels(len(x), scale, x.device)
    return {
        "training": TrainingStep(network, x, labels, setting),
        "inference": InferenceStep(network, x, setting),
    }


def make_network(name: str, scale: Scale, device: torch.device) -> nn.Module:
    """Return a network with the same weights each time, warmed up with whole patches."""
    torch.manual_seed(0)
    network = build_model(name, bands=scale.bands, classes=scale.classes, patch=scale.patch).to(device)
    warm_up(network.train(), torch.randn(2, scale.bands, scale.patch, scale.patch).to(device))
    return network


def speed(seconds: dict[str, Any], batch: int) -> dict[str, float]:
    """Return patches per second from the median, the slowest and the quickest sample."""
    return {
        "patches_per_second": batch / seconds["median"],
        "patches_per_second_min": batch / seconds["max"],
        "patches_per_second_max": batch / seconds["min"],
    }


def share(kind: str, macs: int, patches_per_second: float, rate: float) -> float:
    """Return the share of `rate` (operations per second) that training or inference reaches."""
    return PASSES[kind] * 2 * macs * patches_per_second / rate


def in_megabytes(size: int | None) -> float | None:
    """Return bytes in MB (2^20 bytes)."""
    return None if size is None else size / 2**20


def _peak_of_step(name: str, kind: str, scale: Scale, setting: Setting) -> int | None:
    device = setting.apply()
    return peak_growth(make_steps(name, scale, setting)[kind], device)
