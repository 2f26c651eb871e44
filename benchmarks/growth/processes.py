"""Growth with the processes that share one training: one job under torchrun, each on a thread or a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.growth.scale import GrowthScale
from benchmarks.growth.scenes import blocky_labels, write_scene
from benchmarks.growth.series import Measured, Place, Series
from hsi.bench.setting import Setting
from hsi.errors import HsiError
from hsi.inference.run import Run
from hsi.models.device import available_cores

AXIS = "ranks"
NETWORK = "densenet3d"
TRAINING = (
    *("-m", "hsi", "train", "--model", NETWORK, "--patch", "7", "--batch", "64"),
    *("--scheme", "random", "--train", "0.3", "--val", "0.1"),
)


def ranks_series(scale: GrowthScale, setting: Setting) -> list[Series]:
    """Return the series in which the processes grow, as many as there are GPUs or, on a CPU, cores."""
    most = torch.cuda.device_count() if setting.device == "cuda" else available_cores()
    sizes = tuple(ranks for ranks in scale.ranks if ranks <= most)
    name = f"training epoch, {NETWORK}"
    return [Series(AXIS, name, "pixels a process", sizes, measure_epoch, starts_processes=True)]


def torchrun(ranks: int) -> list[str]:
    """Return the command that starts so many processes of a Python module on this machine."""
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]


def measure_epoch(ranks: int, place: Place) -> Measured:
    """Train under torchrun; the seconds are those of its epochs, the memory all that the first process has.

    Raises
    ------
    HsiError
        When the training fails, with the last line that it said.
    """
    scale = place.scale
    with tempfile.TemporaryDirectory(dir=place.folder) as name:
        folder = Path(name)
        cube, labels = write_scene(
            folder, blocky_labels(scale.rank_side, scale.classes), scale.bands_of_pixels
        )
        words = ["--dataset", str(cube), "--labels", str(labels), "--out", str(folder / "run")]
        words += ["--epochs", str(scale.epochs), "--device", place.setting.device]
        # One thread each, so that processes do not share cores.
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*torchrun(ranks), *TRAINING, *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = (done.stderr.strip() or "nothing").splitlines()
            last = next((line for line in said if line.startswith("hsi: ")), said[-1])
            raise HsiError(f"A training by {ranks} processes failed under torchrun; it said: {last}")
        run = Run(folder / "run")
        metrics = json.loads((run.path / "metrics.json").read_text(encoding="utf-8"))
        seconds = tuple(row["seconds"] for row in run.history[1:])
    pixels = sum(metrics["counts"][part] for part in ("train", "val"))
    return Measured(pixels / ranks, seconds, metrics["peak_memory_mb"])
