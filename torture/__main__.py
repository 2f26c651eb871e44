"""All parts: ``python -m torture --scale 0.01`` runs a hundredth of the trials; one table at the end."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from torture.outcome import show_rows

PARTS = {  # trials at scale 1, of each verb; inputs in all for fuzzing
    "interruptions --signal KILL": 200,
    "interruptions --signal INT": 200,
    "disk_full": 100,
    "concurrency": 100,
    "fuzz": 200_000,
}


def torture(scale: float) -> int:
    """Run every part in a process of its own; return 1 if anything failed, else 0."""
    rows, broken = list[dict[str, object]](), list[str]()
    for part, whole in PARTS.items():
        trials = max(2, round(scale * whole))
        words = [sys.executable, "-m", *f"torture.{part} --trials {trials}".split()]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
        found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        rows += found
        if not found or (done.returncode != 0) != any(row["failures"] for row in found):
            broken.append(f"torture.{part} ended with status {done.returncode}")
    show_rows(rows)
    for message in broken:
        print(message, file=sys.stderr)
    return 1 if broken or any(row["failures"] for row in rows) else 0


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the trials (default: 1, hours)")
    scale = parser.parse_args().scale
    if not scale > 0:
        parser.error("--scale must be above 0")
    return torture(scale)


if __name__ == "__main__":
    sys.exit(main())
