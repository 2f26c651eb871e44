"""Areas of a map, from labelled pixels or from an interpreted sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi.areas.area_estimates import AreaEstimates
from hsi.areas.estimation import estimate_from_units
from hsi.areas.reference_sample import ReferenceSample
from hsi.areas.sample_design import map_strata
from hsi.errors import InputError

NO_PROBABILITY_SAMPLE = (
    "The reference is the run's test pixels: labelled fields, which are no probability sample of the map, "
    "and neighbours in a field are alike. So the areas may be off, and the intervals are only indicative, in "
    "general far too narrow; for areas to report, draw a sample with hsi sample, interpret it, and give it "
    "with --samples."
)


def estimate_from_labels(
    labels: ArrayLike,
    reference: ArrayLike,
    pixels: ArrayLike,
    class_names: Sequence[str],
    *,
    not_recognised: NDArray[np.bool_] | None = None,
    confidence_level: float = 0.95,
    interval: str = "posterior",
    pixel_area: float | None = None,
) -> AreaEstimates:
    """Estimate areas with labelled pixels, such as a run's test pixels, in place of a sample.

    Such pixels are no probability sample, which the first note of the result says. They are taken as drawn
    with replacement, so that many of them do not pass for the whole map.

    Parameters
    ----------
    labels
        ``(rows, cols)`` map: class 1..C, 0 where there is none.
    reference
        ``(rows, cols)`` true labels, 0 where unlabelled.
    pixels
        Row-major flat indices of the pixels to take, such as ``run.split.test``.
    class_names, not_recognised, confidence_level, interval, pixel_area
        As in `estimate_from_sample`.

    Raises
    ------
    InputError
        As `hsi.areas.estimate_from_units`, and when not one of the pixels is labelled and on the map.
    """
    strata = map_strata(labels, len(class_names), not_recognised)
    flat, truth = np.asarray(pixels, np.int64), np.asarray(reference)
    if truth.shape != strata.shape:
        raise InputError(f"The map has shape {strata.shape} and the true labels {truth.shape}.")
    flat = flat[(truth.ravel()[flat] > 0) & (strata.ravel()[flat] > 0)]
    counts = _counts(strata, len(class_names))
    drawn = strata.ravel()[flat]
    return estimate_from_units(
        drawn,
        drawn,
        truth.ravel()[flat],
        {number: size for number, size in enumerate(counts, start=1) if size},
        counts,
        class_names,
        confidence_level=confidence_level,
        interval=interval,
        finite_population=False,
        pixel_area=pixel_area,
        notes=(NO_PROBABILITY_SAMPLE,),
    )


def estimate_from_sample(
    labels: ArrayLike,
    sample: ReferenceSample,
    class_names: Sequence[str],
    *,
    not_recognised: NDArray[np.bool_] | None = None,
    confidence_level: float = 0.95,
    interval: str = "posterior",
    pixel_area: float | None = None,
) -> AreaEstimates:
    """Estimate areas with an interpreted sample.

    The strata are those of the sample's design, whether or not they are still the classes of the map (Stehman
    2014); without a design, those of the map (the poststratified estimator).

    Parameters
    ----------
    labels
        ``(rows, cols)`` map: class 1..C, 0 where there is none.
    sample
        As from `read_sample`.
    class_names
        C names.
    not_recognised
        ``(rows, cols)``: pixels with data that the map gives to no class. They are a stratum of their own;
        other pixels without a class have no data and are not in the area of inference.
    confidence_level, interval, pixel_area
        As in `hsi.areas.estimate_areas`.

    Raises
    ------
    InputError
        As `hsi.areas.estimate_from_units`, and when no unit lies on the map.
    """
    strata = map_strata(labels, len(class_names), not_recognised)
    counts = _counts(strata, len(class_names))
    on_map = strata[sample.rows, sample.cols]
    notes = list(sample.notes)
    options: dict[str, Any] = {
        "confidence_level": confidence_level,
        "interval": interval,
        "pixel_area": pixel_area,
    }
    sizes = {number: size for number, size in enumerate(counts, start=1) if size}
    if sample.strata is None:
        there = on_map > 0
        if not there.all():
            notes.append(
                f"{int((~there).sum())} of {len(there)} points lie where the map has no data; they are left "
                "out."
            )
        notes.append(
            "The sample has no design file, so it is taken as a random or systematic sample of the map, or "
            "as one stratified by this very map; the map's classes are the strata."
        )
        return estimate_from_units(
            on_map[there], on_map[there], sample.reference[there], sizes, counts, class_names, notes=notes,
            **options,
        )  # fmt: skip
    elsewhere = int((sample.strata != on_map).sum())
    if elsewhere or dict(sample.stratum_pixels) != sizes:
        notes.append(
            f"The sample was drawn from another map: {elsewhere} of {len(on_map)} units lie in another class "
            "on this one. The strata are those of the sample, with their pixel counts (Stehman 2014); areas "
            "are as valid as with the map of the sample."
        )
    return estimate_from_units(
        sample.strata,
        on_map,
        sample.reference,
        sample.stratum_pixels,
        counts,
        class_names,
        stratum_names=sample.stratum_names,
        notes=notes,
        **options,
    )


def _counts(strata: NDArray[np.int64], classes: int) -> list[int]:
    """Return the pixels of each class and of those not recognised."""
    return [int(count) for count in np.bincount(strata.ravel(), minlength=classes + 2)[1:]]
