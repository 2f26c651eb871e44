"""Measure how time and memory grow with bands, patch width, labelled pixels, scene area and processes.

python -m benchmarks.growth --threads 1 --out experiments/results/
python -m benchmarks.growth --quick --only bands --json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.growth.axes import AXES, run_growth
from benchmarks.growth.fit import fit_growth
from benchmarks.growth.points import points_csv
from benchmarks.growth.report import METHOD, as_json, findings, growth_conditions, growth_tables
from benchmarks.growth.scale import FULL_GROWTH, QUICK_GROWTH
from hsi.bench import make_setting
from hsi.bench.setting import file_name
from hsi.commands import screen
from hsi.errors import ConfigError, HsiError
from hsi.io.files import write_text


def main(arguments: list[str]) -> int:
    """Measure, print and write the points; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes and few repeats")
    parser.add_argument("--only", action="append", choices=AXES, default=[], help="can be repeated")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument(
        "--out", type=Path, help="CSV file, or folder for a CSV named by hardware and versions"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args(arguments)
    try:
        _measure(options)
    except HsiError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


def _measure(options: argparse.Namespace) -> None:
    out: Path | None = options.out
    if out is not None and not (out.is_dir() or out.parent.is_dir()):
        raise ConfigError(f"The folder '{out.parent}' for the result does not exist.")
    setting = make_setting(device=options.device, threads=options.threads)
    scale = QUICK_GROWTH if options.quick else FULL_GROWTH
    with screen.err().status("measuring") as status:
        result = run_growth(
            setting, scale, only=options.only, progress=lambda what: status.update(f"measuring {what}")
        )
    fitted = fit_growth(result.points)
    if out is not None:
        path = out / file_name(result.machine, "growth", "csv") if out.is_dir() else out
        write_text(path, points_csv(result))
        screen.note(f"The points are in '{path}'.")
    if options.json:
        points, series = [vars(point) for point in result.points], [as_json(growth) for growth in fitted]
        found = {"machine": result.machine, "quick": result.quick, "points": points, "series": series}
        print(json.dumps(found))
        return
    console = screen.out()
    for table in growth_tables(fitted):
        console.print(screen.table(table.title, table.columns, table.cells))
    for sentence in (*findings(fitted), METHOD, growth_conditions(result.machine, result.quick)):
        console.print(sentence, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
