"""`make demo`: train, score and map the embedded scene, and show what a random split would have claimed.

The first run tests on regions that the network has not seen; the second, shorter one draws training and test
pixels at random, as most papers do. ``python -m experiments.demo [FOLDER]`` writes both to FOLDER, by default
a new one in ./runs.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import hsi
from hsi.commands.app import run
from hsi.commands.screen import err, note, out, percent

MODEL = "wcnet"
RANDOM_EPOCHS = 3


def main(arguments: list[str]) -> int:
    """Run the demo; return the exit status."""
    folder = Path(arguments[0]) if arguments else Path("runs") / f"demo-{datetime.now():%Y%m%d-%H%M%S}"
    regions, random = folder / "unseen-regions", folder / "random-split"
    status = run(["train", "--model", MODEL, "--dataset", "demo", "--out", str(regions)])
    status = status or run(["map", str(regions), "--layout"])
    if status:
        return status
    note("A second, shorter training on a random split, as most papers use it.")
    with err().status("training"):
        drawn = hsi.train(model=MODEL, dataset="demo", scheme="random", epochs=RANDOM_EPOCHS, out=random)
    seen = hsi.open_run(regions)
    out().print(
        f"OA {percent(seen.scores['test'].oa)} % on regions that the network has not seen; a random split of "
        f"the same scene claims {percent(drawn.scores['test'].oa)} % after {RANDOM_EPOCHS} epochs, with "
        f"{percent(drawn.metrics['leakage']['centre'])} % of its test pixels inside some training patch.",
        highlight=False,
        soft_wrap=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
