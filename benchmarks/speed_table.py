"""Write the measured tables of docs/reference/speed.md from experiments/results/bench-*.json, of `hsi bench`.

python -m benchmarks.speed_table            # writes
python -m benchmarks.speed_table --check    # exit status 1 if the page is stale

The tables stand between the lines START and END, one for each file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from hsi.bench.summary import conditions, loop_sentence, milliseconds, pipeline_sentence, rounded

ROOT = Path(__file__).resolve().parent.parent
START = "<!-- measured by hsi bench; written by make bench-table -->"
END = "<!-- end of the measured table -->"


def markdown(results: list[dict[str, Any]]) -> str:
    """Return the tables of all results, one after the other."""
    return "\n".join(_tables_of(result) for result in results)


def replace_between(start: str, end: str, page: str, text: str) -> str:
    """Return the text of a page with `text` between two lines; raise ValueError unless it has each once."""
    before, found, rest = page.partition(start + "\n")
    _, closing, after = rest.partition(end)
    if not (found and closing) or start in rest or end in after:
        raise ValueError(f"The page needs the lines '{start}' and '{end}', once each.")
    return f"{before}{found}{text}{closing}{after}"


def load_results(folder: Path) -> list[dict[str, Any]]:
    """Read the results of `hsi bench` in a folder, in the order of their names."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("bench-*.json"))]


def _tables_of(result: dict[str, Any]) -> str:
    lines = [
        "",
        "| forward + backward | reference | ours, ms | reference, ms | faster | less memory |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for row in result["comparisons"]:
        if not row["reference"]:
            continue
        times = [milliseconds(row[f"{side}_side"]["seconds"]) for side in ("ours", "reference")]
        title = f"{row['title']}, batch {row['shape'][0]}"
        lines.append(
            f"| {title} | {row['reference']} | {times[0]} | {times[1]} "
            f"| {rounded(row['ratio'])}x | {rounded(row['memory_ratio'])}x |"
        )
    batch = result["networks"][0]["batch"] if result["networks"] else 0
    lines += [
        "",
        f"| network, batch {batch} | MACs, M | training, patches/s | inference, patches/s | MB in training |",
        "|---|--:|--:|--:|--:|",
    ]
    for row in result["networks"]:
        speeds = [
            f"{rounded(row[kind]['patches_per_second'])} ({100 * row[kind]['share']:.0f} %)"
            for kind in ("training", "inference")
        ]
        memory = rounded(row["training"]["peak_memory_mb"])
        lines.append(f"| {row['name']} | {row['macs'] / 1e6:.1f} | {speeds[0]} | {speeds[1]} | {memory} |")
    notes = [
        "Median (smallest-largest) of interleaved repeats; memory is the growth of the peak.",
        "Percent: share of the machine's measured matrix-product rate.",
        pipeline_sentence(result) or "",
        loop_sentence(result) or "",
        conditions(result),
    ]
    return "\n".join([*lines, "", " ".join(filter(None, notes)), "", ""])


def main(arguments: list[str]) -> int:
    """Write or check the page; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="only check whether the page is up to date")
    check = parser.parse_args(arguments).check
    page = ROOT / "docs" / "reference" / "speed.md"
    old = page.read_text(encoding="utf-8")
    table = markdown(load_results(ROOT / "experiments" / "results"))
    new = replace_between(START, END, old, table)
    if check and old != new:
        print("docs/reference/speed.md is stale: run 'make bench-table'.", file=sys.stderr)
        return 1
    if not check:
        page.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
