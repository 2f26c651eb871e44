"""Is one network better than another by more than chance: paired tests on finished runs."""

from hsi.comparison.comparison import Comparison, compare
from hsi.comparison.contestants import Contestant
from hsi.comparison.p_values import combine_by_rank, holm
from hsi.comparison.paired_fields import FieldTest, PairedPixels, field_test, number_fields
from hsi.comparison.paired_pixels import McNemar, mcnemar
from hsi.comparison.pairs import Pair
from hsi.comparison.repeated_runs import TTest, corrected_t_test

__all__ = [
    "Comparison",
    "Contestant",
    "FieldTest",
    "McNemar",
    "Pair",
    "PairedPixels",
    "TTest",
    "combine_by_rank",
    "compare",
    "corrected_t_test",
    "field_test",
    "holm",
    "mcnemar",
    "number_fields",
]
