"""Class areas with confidence intervals: the design of a sample, its files, and the stratified estimator."""

from hsi.areas.area_estimates import AreaEstimates, ClassArea
from hsi.areas.estimation import estimate_areas, estimate_from_units
from hsi.areas.ground_area import PixelArea, pixel_area
from hsi.areas.intervals import Estimate
from hsi.areas.map_areas import estimate_from_labels, estimate_from_sample
from hsi.areas.reference_sample import ReferenceSample, read_sample
from hsi.areas.sample_design import SampleDesign, allocate_sample, draw_sample, map_strata, sample_size
from hsi.areas.sample_files import write_sample

__all__ = [
    "AreaEstimates",
    "ClassArea",
    "Estimate",
    "PixelArea",
    "ReferenceSample",
    "SampleDesign",
    "allocate_sample",
    "draw_sample",
    "estimate_areas",
    "estimate_from_labels",
    "estimate_from_sample",
    "estimate_from_units",
    "map_strata",
    "pixel_area",
    "read_sample",
    "sample_size",
    "write_sample",
]
