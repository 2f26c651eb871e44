"""Paired significance tests on finished runs: is one network better than another by more than chance?"""

from hsi.comparison.comparison import Comparison, compare
from hsi.comparison.contestants import Contestant
from hsi.comparison.paired_fields import FieldTest, PairedPixels, field_test, number_fields
from hsi.comparison.pairs import Pair
from hsi.comparison.significance import McNemar, TTest, combine_by_rank, corrected_t_test, holm, mcnemar

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
