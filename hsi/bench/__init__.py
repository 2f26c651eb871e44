"""Measurements of this machine: our operators beside straightforward ones, networks, and the input pipeline.

`run_bench` measures and returns one JSON-like dictionary, `tables` makes rows of it. The straightforward
operators are no part of this package; they are found beside a checkout, in ``benchmarks/references``.
"""

from hsi.bench.setting import FULL, QUICK, Scale, Setting, make_setting
from hsi.bench.suite import case_names, run_bench
from hsi.bench.summary import tables

__all__ = ["FULL", "QUICK", "Scale", "Setting", "case_names", "make_setting", "run_bench", "tables"]
