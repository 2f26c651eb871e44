"""Speed of this machine: our operators beside reference implementations, networks, input pipeline, maps.

`run_bench` measures and returns one JSON-like dictionary, `tables` formats it. The reference implementations
are not part of the package; a checkout has them in ``benchmarks/references``.
"""

from hsi.bench.setting import FULL, QUICK, Scale, Setting, make_setting
from hsi.bench.suite import case_names, run_bench
from hsi.bench.summary import tables

__all__ = ["FULL", "QUICK", "Scale", "Setting", "case_names", "make_setting", "run_bench", "tables"]
