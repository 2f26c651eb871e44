"""Areas and accuracies of a map, estimated from a stratified sample of reference labels.

A map of proportions that are counted pixel by pixel is biased where its errors do not cancel. The stratified
estimator of Olofsson et al. (2014, Remote Sensing of Environment 148, 42-57) takes the area of a class from
reference labels at sample pixels, with the map as strata; Stehman (2014, International Journal of Remote
Sensing 35, 4923-4939) writes it for strata that are not the classes of the map, such as those of an older
map or of pixels without a class. Both are one formula here: shares and ratios of indicators.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi.areas.area_estimates import NOT_RECOGNISED, OTHER, AreaEstimates, ClassArea
from hsi.areas.intervals import Estimate, normal_interval, quantile_interval, wilson_interval
from hsi.areas.stratified_sample import Sample
from hsi.errors import InputError, unknown

Floats = NDArray[np.float64]

INTERVALS = ("posterior", "normal")
"""How intervals are made; see `estimate_areas`."""


def check_interval(interval: str, level: float) -> None:
    """Refuse a way to make intervals that there is not, and a level that is no fraction.

    Raises
    ------
    InputError
        For either.
    """
    if interval not in INTERVALS:
        raise InputError(unknown("interval", interval, INTERVALS))
    if not 0 < level < 1:
        raise InputError(f"The confidence level must lie between 0 and 1, such as 0.95; got {level:g}.")


def estimate_areas(
    error_matrix: ArrayLike,
    mapped_pixels: Sequence[int],
    class_names: Sequence[str] = (),
    *,
    confidence_level: float = 0.95,
    interval: str = "posterior",
    finite_population: bool = True,
    pixel_area: float | None = None,
) -> AreaEstimates:
    """Estimate class areas and accuracies from the error matrix of a sample stratified by the map.

    A stratum without a sample unit is not in the area of inference, since nothing is known of it; a stratum
    with one has a variance that cannot be estimated, and its squared distance to the mean of all strata is
    taken instead. Notes say where that was done.

    Parameters
    ----------
    error_matrix
        Sample units by map class (rows) and reference class (columns), as in the paper: the transpose of
        `hsi.Scores.confusion`. A row more than there are classes counts the units in pixels that the map
        gives to no class ("not recognised"), a column more those of ground that is none of the classes.
    mapped_pixels
        Pixels of each row on the map.
    class_names
        C names; default: the numbers from 1.
    confidence_level
        Of the intervals, a fraction.
    interval
        "posterior": areas and producer's accuracies from 20,000 draws of the proportions in each stratum
        (Dirichlet with the prior 1/C in each of C classes: Berger, Bernardo and Sun 2015, Bayesian Analysis
        10, 189-221; the same draws on every machine), user's and overall accuracy by Wilson's score interval
        with the effective sample size (Franco, Little, Louis and Slud 2019, Journal of Survey Statistics and
        Methodology 7, 334-364). "normal": the estimate and its standard error times the normal quantile, cut
        at 0 and 1 (Olofsson et al. 2014, eq. 11), which covers rare classes too seldom.
    finite_population
        Whether the units were drawn without replacement, so that a stratum seen whole is known (Stehman 2014,
        eq. 25). The paper leaves this out, which changes nothing for large maps.
    pixel_area
        Square metres of a pixel, as from `hsi.areas.pixel_area`.

    Raises
    ------
    InputError
        For counts that do not fit, and a sample larger than its stratum.

    Examples
    --------
    The paper's example (table 8): 10 million pixels of 30 m, deforestation 21,158 ha +- 6,158.

    >>> matrix = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
    >>> mapped = [200_000, 150_000, 3_200_000, 6_450_000]
    >>> names = ["deforestation", "forest gain", "stable forest", "stable non-forest"]
    >>> made = estimate_areas(
    ...     matrix, mapped, names, interval="normal", finite_population=False, pixel_area=900.0
    ... )
    >>> area = made.area(1, "ha")
    >>> print(f"{area.value:.0f} ha, 95 % interval {area.low:.0f} to {area.high:.0f}")
    21158 ha, 95 % interval 15000 to 27315
    """
    counts = np.asarray(error_matrix)
    pixels = np.asarray(mapped_pixels)
    if counts.ndim != 2 or not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
        raise InputError("An error matrix must hold whole numbers of sample units, map classes as rows.")
    if pixels.shape != (len(counts),) or not np.issubdtype(pixels.dtype, np.integer) or (pixels < 0).any():
        raise InputError(
            f"The mapped pixels must be {len(counts)} whole numbers, one for each row of the error matrix."
        )
    classes = len(class_names) or min(counts.shape)
    if not all(classes <= size <= classes + 1 for size in counts.shape):
        raise InputError(
            f"An error matrix of {classes} classes has {classes} or {classes + 1} rows and columns, not "
            f"{counts.shape[0]} and {counts.shape[1]}."
        )
    cells = np.zeros((len(counts), classes + 1, counts.shape[1]), np.int64)
    for row, units in enumerate(counts):
        cells[row, row] = units
    names = [*class_names] or [str(number) for number in range(1, classes + 1)]
    return _estimate(
        cells,
        pixels.astype(np.int64),
        [*names, NOT_RECOGNISED][: len(counts)],
        np.append(pixels, 0)[: classes + 1].astype(np.int64),
        names,
        confidence_level,
        interval,
        finite_population,
        pixel_area,
        (),
    )


def estimate_from_units(
    stratum: ArrayLike,
    mapped: ArrayLike,
    reference: ArrayLike,
    stratum_pixels: Mapping[int, int],
    mapped_pixels: Sequence[int],
    class_names: Sequence[str],
    *,
    stratum_names: Mapping[int, str] | None = None,
    confidence_level: float = 0.95,
    interval: str = "posterior",
    finite_population: bool = True,
    pixel_area: float | None = None,
    notes: Sequence[str] = (),
) -> AreaEstimates:
    """Estimate class areas and accuracies from single sample units; strata may be any (Stehman 2014).

    Parameters
    ----------
    stratum
        ``(n,)`` integers: the stratum that each unit was drawn from.
    mapped
        ``(n,)``: class of the unit on the map, 1..C, and 0 or C + 1 where it has none.
    reference
        ``(n,)``: class of the ground, 1..C, and C + 1 for ground that is none of them.
    stratum_pixels
        Stratum -> its pixels in the area that was sampled.
    mapped_pixels
        Pixels of the map: C numbers, and one more of the pixels without a class.
    class_names, stratum_names
        C names; stratum -> name for notes, default: the class of that number.
    notes
        Sentences that the result is to carry first.
    confidence_level, interval, finite_population, pixel_area
        As in `estimate_areas`.

    Raises
    ------
    InputError
        For arrays of different lengths, numbers out of range, and a sample larger than its stratum.

    Examples
    --------
    Two strata of an older map, a new map with one class more right:

    >>> made = estimate_from_units(
    ...     stratum=[1, 1, 1, 2, 2, 2],
    ...     mapped=[1, 1, 2, 2, 2, 2],
    ...     reference=[1, 1, 2, 2, 2, 1],
    ...     stratum_pixels={1: 300, 2: 700},
    ...     mapped_pixels=[200, 800],
    ...     class_names=["meadow", "wood"],
    ... )
    >>> round(made.classes[0].proportion.value, 3)
    0.433
    """
    classes = len(class_names)
    drawn, on_map, truth = (np.asarray(one) for one in (stratum, mapped, reference))
    if not drawn.shape == on_map.shape == truth.shape or drawn.ndim != 1:
        raise InputError("Stratum, map class and reference class must be one number for each sample unit.")
    numbers = sorted(stratum_pixels)
    if not np.isin(drawn, numbers).all():
        raise InputError("A sample unit lies in a stratum whose number of pixels is not given.")
    for what, values, lowest in (("map", on_map, 0), ("reference", truth, 1)):
        if values.size and (values.min() < lowest or values.max() > classes + 1):
            raise InputError(f"A {what} class of a sample unit is outside {lowest} to {classes + 1}.")
    others = bool((truth == classes + 1).any())
    cells = np.zeros((len(numbers), classes + 1, classes + others), np.int64)
    rows = np.where(on_map == 0, classes + 1, on_map) - 1
    np.add.at(cells, (np.searchsorted(numbers, drawn), rows, truth - 1), 1)
    known = dict(enumerate([*class_names, NOT_RECOGNISED], start=1)) | dict(stratum_names or {})
    pixels = np.zeros(classes + 1, np.int64)
    pixels[: len(mapped_pixels)] = mapped_pixels
    return _estimate(
        cells,
        np.array([stratum_pixels[number] for number in numbers], np.int64),
        [known.get(number, str(number)) for number in numbers],
        pixels,
        class_names,
        confidence_level,
        interval,
        finite_population,
        pixel_area,
        tuple(notes),
    )


def _estimate(
    cells: NDArray[np.int64],
    strata: NDArray[np.int64],
    stratum_names: Sequence[str],
    mapped: NDArray[np.int64],
    class_names: Sequence[str],
    level: float,
    interval: str,
    finite: bool,
    pixel_area: float | None,
    notes: tuple[str, ...],
) -> AreaEstimates:
    """Estimate from units by stratum, map class (the last: none) and reference class, ``(H, C + 1, R)``."""
    check_interval(interval, level)
    units = cells.sum(axis=(1, 2))
    for name, size, pixels in zip(stratum_names, units, strata, strict=True):
        if size > pixels:
            raise InputError(
                f"The sample has {size} units in '{name}', which has {pixels} pixels; give the map, or the "
                "pixel counts, that the sample was drawn from."
            )
    if not units.any():
        raise InputError("There is no sample unit with a reference class, so no area can be estimated.")
    said = [*notes, *_notes_of_strata(stratum_names, strata, units)]
    sample = Sample(cells[units > 0], strata[units > 0], finite)
    draws = sample.posterior() if interval == "posterior" else None
    everything = np.ones(cells.shape[1:])
    classes = len(class_names)

    def accuracy(right: Floats, among: Floats) -> Estimate | None:
        value, error = sample.ratio(right, among)
        if math.isnan(value):
            return None
        if draws is None:
            return normal_interval(value, error, level)
        return wilson_interval(value, error, *sample.size_of(among), level)

    found = []
    for number in range(cells.shape[2]):
        is_class, on_map = 0 * everything, 0 * everything
        is_class[:, number] = 1
        if number < classes:
            on_map[number] = 1
        share, producers = sample.ratio(is_class, everything), sample.ratio(is_class * on_map, is_class)
        has_units = number < classes and not math.isnan(producers[0])
        found.append(
            ClassArea(
                name=class_names[number] if number < classes else OTHER,
                mapped_pixels=int(mapped[number]) if number < classes else 0,
                mapped_units=int((cells * on_map).sum()),
                reference_units=int((cells * is_class).sum()),
                proportion=(
                    normal_interval(*share, level)
                    if draws is None
                    else quantile_interval(*share, draws.areas[:, number], level)
                ),
                users_accuracy=accuracy(is_class * on_map, on_map),
                producers_accuracy=(
                    None
                    if not has_units
                    else normal_interval(*producers, level)
                    if draws is None
                    else quantile_interval(*producers, draws.producers[:, number], level)
                ),
            )
        )
    said += _notes_of_classes(found[:classes])
    with_class = everything.copy()
    with_class[classes] = 0
    return AreaEstimates(
        classes=tuple(found),
        overall_accuracy=accuracy(np.eye(classes + 1, cells.shape[2]) * with_class, with_class),
        pixels=int(strata[units > 0].sum()),
        units=int(units.sum()),
        not_recognised=int(mapped[classes]),
        left_out=int(strata[units == 0].sum()),
        confidence_level=level,
        interval=interval,
        pixel_area=pixel_area,
        notes=tuple(said),
    )


def _notes_of_strata(
    names: Sequence[str], pixels: NDArray[np.int64], units: NDArray[np.int64]
) -> Iterator[str]:
    """Yield a sentence for the strata without a sample unit, and for those with a single one."""
    empty = [n for n in range(len(names)) if pixels[n] and not units[n]]
    if empty:
        share = pixels[empty].sum() / pixels.sum()
        listed = ", ".join(f"'{names[n]}' ({pixels[n]:,} pixels)" for n in empty)
        yield (
            f"No sample unit lies in {listed}, so nothing is known of that {_percent(share)} of the map: it "
            "is left out, and areas are those of the rest; a sample with units in every stratum mends that."
        )
    single = [names[n] for n in range(len(names)) if units[n] == 1 and pixels[n] > 1]
    if single:
        listed = ", ".join(f"'{name}'" for name in single)
        yield (
            f"{listed} {'has' if len(single) == 1 else 'have'} a single sample unit, from which no variance "
            "can be estimated; its distance to the mean of all strata is taken instead, which is rather too "
            "large."
        )


def _notes_of_classes(classes: Sequence[ClassArea]) -> Iterator[str]:
    unseen = [f"'{one.name}'" for one in classes if not one.reference_units]
    if unseen:
        yield (
            f"No sample unit is {' or '.join(unseen)} on the ground: an area of 0 is estimated, and only the "
            "upper end of its interval says something."
        )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
