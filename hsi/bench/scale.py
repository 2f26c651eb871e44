"""How large the measured shapes are, and how often each is repeated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Sizes and repeats of a run.

    ``bands``, ``classes`` and the patch width ``patch`` (pixels) are those of the networks' input; operators
    get the maps of the first dense block. ``batch`` patches make a batch, ``large_batch`` that of the
    backbone's training step, ``small_batch`` that of an operator whose reference needs about a gigabyte a
    patch. Maps are of ``map_side`` x ``map_side`` pixels. Each case runs ``rounds`` times at least, and goes
    on for ``seconds``.
    """

    bands: int = 200
    classes: int = 16
    patch: int = 11
    batch: int = 16
    large_batch: int = 64
    small_batch: int = 2
    map_side: int = 24
    rounds: int = 3
    seconds: float = 8.0

    @property
    def block(self) -> tuple[int, int, int]:
        """Depth, height and width of the maps in the first dense block."""
        side = (self.patch + 1) // 2
        return ((self.bands + 1) // 2, side, side)


FULL = Scale()
"""Indian Pines: 200 bands, 16 classes, patches of 11 x 11."""

QUICK = Scale(batch=4, large_batch=8, small_batch=1, map_side=12, rounds=2, seconds=0.3)
