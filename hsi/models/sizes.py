"""The sizes that a network can take, checked with one sentence each."""

from __future__ import annotations

from hsi.errors import ModelError


def check_sizes(
    bands: int,
    classes: int,
    patch: int,
    *,
    least_bands: int = 1,
    least_patch: int = 1,
    bands_why: str = "",
    patch_why: str = "",
) -> None:
    """Raise ModelError, with the reason, for sizes that a network cannot take.

    Every network needs two classes and an odd patch width; the smallest number of bands and the smallest
    patch width (pixels) are its own, as are the words that say why, such as "to halve them three times".
    """
    if patch % 2 == 0:
        raise ModelError(f"The patch width must be odd, so that a pixel is its centre; {patch} is even.")
    if patch < least_patch:
        raise ModelError(
            f"The patch width must be at least {least_patch} pixels{_reason(patch_why)}; got {patch}."
        )
    if bands < least_bands:
        raise ModelError(f"This network needs at least {least_bands} bands{_reason(bands_why)}; got {bands}.")
    if classes < 2:
        raise ModelError(f"A classifier needs at least 2 classes; got {classes}.")


def _reason(why: str) -> str:
    return f", {why}" if why else ""
