"""Growth of the networks with bands and patch width: a training step, and inference of a batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.growth.scale import GrowthScale
from benchmarks.growth.series import Context, Measured, Series, measure_action
from hsi.bench.networks import PASSES, make_steps
from hsi.bench.setting import Scale
from hsi.bench.suite import network_names
from hsi.models.registry import count_macs

BANDS, PATCH = "bands", "patch"


def bands_series(scale: GrowthScale) -> list[Series]:
    """Return the series in which the bands grow."""
    return _series(BANDS, scale.bands)


def patch_series(scale: GrowthScale) -> list[Series]:
    """Return the series in which the patch width grows."""
    return _series(PATCH, scale.patches)


def _series(axis: str, sizes: tuple[int, ...]) -> list[Series]:
    return [
        Series(axis, f"{name}, {kind}", "MACs", sizes, NetworkStep(axis, name, kind))
        for kind in PASSES
        for name in network_names()
    ]


@dataclass(frozen=True)
class NetworkStep:
    """One network, "training" or "inference", along one axis."""

    axis: str
    name: str
    kind: str

    def __call__(self, size: int, context: Context) -> Measured:
        """Measure a batch; the work is the counted multiply-adds, including the backward pass."""
        context.setting.apply()
        shape = self.shape(size, context.scale)
        step = make_steps(self.name, shape, context.setting)[self.kind]
        measured = measure_action(step, 0.0, context)
        macs = count_macs(step.module, shape.bands, shape.patch)  # afterwards, since it takes memory too
        return replace(measured, work=float(PASSES[self.kind] * shape.batch * macs))

    def shape(self, size: int, scale: GrowthScale) -> Scale:
        """Return the sizes of the network's input."""
        bands = size if self.axis == BANDS else scale.bands_of_patches
        patch = size if self.axis == PATCH else scale.patch
        return Scale(bands=bands, classes=scale.classes, patch=patch, batch=scale.batch)
