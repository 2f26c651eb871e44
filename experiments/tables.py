"""Write the pages of this folder and their figures from measured data.

    python -m experiments.tables            # writes
    python -m experiments.tables --check    # ends with status 1 where a page or a figure is stale

RESULTS.md comes from ``results/NAME.csv`` of `hsi sweep` and of the scripts beside this one, such as
``joined-NAME.csv`` of joined.py and ``distance-*.csv`` of distances.py; GROWTH.md from
``results/growth-*.csv`` of ``python -m benchmarks.growth``; COST.md from ``archive_cost.toml`` and
``results/bench-*.json`` of `hsi bench`. Every number and every sentence is computed from these files.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from experiments.pages import cost, growth, results
from hsi.errors import HsiError

ROOT = Path(__file__).resolve().parent


def main(arguments: list[str]) -> int:
    """Write or check the pages and their figures; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="only check that they are up to date")
    check = parser.parse_args(arguments).check
    try:
        stale = [made for part in (results, growth, cost) for made in part.outputs(ROOT) if made.is_stale()]
    except HsiError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    if not check:
        for made in stale:
            made.write()
    elif stale:
        names = ", ".join(made.path.name for made in stale)
        print(f"{names} in experiments/: stale; run 'make tables'.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
