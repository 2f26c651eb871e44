"""Class areas on the page: counted, and corrected by the run's test pixels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hsi.areas import AreaEstimates, Estimate, estimate_from_labels, pixel_area
from hsi.areas.ground_area import pixel_in_unit
from hsi.datasets.scene import Scene
from hsi.errors import HsiError
from hsi.inference.run import Run
from hsi.report.pictures import Classified
from hsi.report.score_table import number, percent


def area_section(run: Run, scene: Scene, classified: Classified) -> Mapping[str, Any] | None:
    """Return a table of class areas with their intervals, its unit, and what to know of it.

    None where they cannot be estimated, as without test pixels on the map.
    """
    try:
        size = pixel_area(scene.georeference, (scene.rows, scene.cols))
        found = estimate_from_labels(
            classified.labels, scene.labels, run.split.test, scene.class_names, pixel_area=size.square_metres
        )
    except HsiError:
        return None
    unit, of_pixel = pixel_in_unit(found.pixel_area)
    return {
        "unit": unit,
        "level": f"{100 * found.confidence_level:g} %",
        "notes": [_OPTION.sub(r"with hsi area \1", note) for note in (*size.notes, *found.notes)],
        "rows": [
            _row(found, place, unit, of_pixel, color)
            for place, color in zip(range(1, len(found.classes) + 1), scene.colors, strict=False)
        ],
    }


_OPTION = re.compile(r"with (--[a-z-]+)")  # the notes are those of the command


def _row(found: AreaEstimates, place: int, unit: str, of_pixel: float, color: str) -> dict[str, Any]:
    one, area = found.classes[place - 1], found.area(place, unit)
    return {
        "name": one.name,
        "color": color,
        "values": [
            quantity(one.mapped_pixels * of_pixel, unit),
            quantity(area.value, unit),
            f"{quantity(area.low, unit)} – {quantity(area.high, unit)}",
            *_accuracy(one.users_accuracy),
            *_accuracy(one.producers_accuracy),
        ],
    }


def quantity(value: float, unit: str) -> str:
    """Return an area with four digits, or all those before the decimal point; whole pixels."""
    if unit == "pixels" or value >= 999.5 or value == 0:
        return number(float(round(value)))
    return f"{value:#.4g}"


def _accuracy(found: Estimate | None) -> tuple[str, str]:
    if found is None:
        return "-", "-"
    return percent(found.value, 1), f"{percent(found.low, 1)} – {percent(found.high, 1)}"
