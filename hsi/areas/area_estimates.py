"""What is known of the areas of a map's classes: estimates, intervals, accuracies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hsi.areas.ground_area import pixel_in_unit
from hsi.areas.intervals import Estimate

NOT_RECOGNISED = "not recognised"
"""The stratum of pixels with data that the map gives to no class."""
OTHER = "other"
"""The reference class of ground that is none of the map's classes."""


@dataclass(frozen=True)
class ClassArea:
    """One class: what the map shows, and what the sample says.

    Attributes
    ----------
    name
        The class; "other" stands for ground that is none of the map's classes.
    mapped_pixels
        Pixels of the class on the map.
    mapped_units, reference_units
        Sample units that the map, and that the reference gives to the class.
    proportion
        Share of the area of inference (Olofsson et al. 2014, eq. 8 to 11).
    users_accuracy, producers_accuracy
        Share of the mapped area that is the class, and of the area of the class that is mapped so (eq. 2, 3,
        6, 7); None without a sample unit.
    """

    name: str
    mapped_pixels: int
    mapped_units: int
    reference_units: int
    proportion: Estimate
    users_accuracy: Estimate | None
    producers_accuracy: Estimate | None


@dataclass(frozen=True)
class AreaEstimates:
    """Areas and accuracies of the classes of a map; shares are fractions.

    Attributes
    ----------
    classes
        One entry a class, class 1 first; "other" comes last where the reference has it.
    overall_accuracy
        Share of the area with a class on the map where the class is right (eq. 1 and 5); None without a
        sample unit there.
    pixels
        Pixels of the area of inference, which the shares of the classes sum to.
    units
        Sample units.
    not_recognised
        Pixels that the map gives to no class, though they have data.
    left_out
        Pixels of strata without a sample unit, which are not in the area of inference.
    confidence_level, interval
        Of all intervals: a fraction, and one of `hsi.areas.estimation.INTERVALS`.
    pixel_area
        Square metres of a pixel, or None where that is not known.
    notes
        One sentence for each thing that a reader of the numbers must know.
    """

    classes: tuple[ClassArea, ...]
    overall_accuracy: Estimate | None
    pixels: int
    units: int
    not_recognised: int
    left_out: int
    confidence_level: float
    interval: str
    pixel_area: float | None
    notes: tuple[str, ...]

    def area(self, number: int, unit: str | None = None) -> Estimate:
        """Return the area of class `number`, from 1, in a unit: "ha", "m2", "km2" or "pixels".

        Default: hectares, or pixels where the pixel's size is not known.

        Raises
        ------
        InputError
            For another unit, and one of square metres where the pixel's size is not known.
        """
        _, size = pixel_in_unit(self.pixel_area, unit)
        return self.classes[number - 1].proportion.times(self.pixels * size)

    def as_dict(self, unit: str | None = None) -> dict[str, Any]:
        """Return values for JSON, areas in a unit; default and errors as in `area`."""
        unit, size = pixel_in_unit(self.pixel_area, unit)
        classes = [
            {
                "name": one.name,
                "mapped_pixels": one.mapped_pixels,
                "mapped_units": one.mapped_units,
                "reference_units": one.reference_units,
                "mapped_area": one.mapped_pixels * size,
                "area": one.proportion.times(self.pixels * size).as_dict(),
                "proportion": one.proportion.as_dict(),
                "users_accuracy": one.users_accuracy and one.users_accuracy.as_dict(),
                "producers_accuracy": one.producers_accuracy and one.producers_accuracy.as_dict(),
            }
            for one in self.classes
        ]
        return {
            "unit": unit,
            "pixel_area_m2": self.pixel_area,
            "pixels": self.pixels,
            "sample_units": self.units,
            "not_recognised_pixels": self.not_recognised,
            "left_out_pixels": self.left_out,
            "confidence_level": self.confidence_level,
            "interval": self.interval,
            "overall_accuracy": self.overall_accuracy and self.overall_accuracy.as_dict(),
            "classes": classes,
            "notes": list(self.notes),
        }
