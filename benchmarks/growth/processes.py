"""Growth with the processes of a data-parallel training under torchrun, each on a thread or a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.growth.scale import GrowthScale
from benchmarks.growth.scenes import field_labels, write_scene
from benchmarks.growth.series import Context, Measured, Series
from hsi.bench.setting import Setting
from hsi.errors import HsiError
from hsi.inference.run import Run
from hsi.models.cores import available_cores

AXIS = "ranks"  # as in the CSV files
NETWORK = "densenet3d"
TRAINING = (
    *("-m", "hsi", "train", "--model", NETWORK, "--patch", "7", "--batch", "64"),
    *("--scheme", "random", "--train", "0.3", "--val", "0.1"),
)


def processes_series(scale: GrowthScale, setting: Setting) -> list[Series]:
    """Return the series in which the processes grow, up to the number of GPUs or, on a CPU, cores."""
    most = torch.cuda.device_count() if setting.device == "cuda" else available_cores()
    sizes = tuple(count for count in scale.processes if count <= most)
    name = f"training epoch, {NETWORK}"
    return [Series(AXIS, name, "pixels a process", sizes, measure_epoch, starts_processes=True)]


def torchrun(processes: int) -> list[str]:
    """Return the command that starts a Python module in so many processes on this machine."""
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]


def measure_epoch(processes: int, context: Context) -> Measured:
    """Train under torchrun; the seconds are those of its epochs, the memory that of the first process.

    Raises
    ------
    HsiError
        When the training fails, with its error message.
    """
    scale = context.scale
    with tempfile.TemporaryDirectory(dir=context.folder) as name:
        folder = Path(name)
        cube, labels = write_scene(
            folder, field_labels(scale.processes_side, scale.classes), scale.bands_of_pixels
        )
        words = ["--dataset", str(cube), "--labels", str(labels), "--out", str(folder / "run")]
        words += ["--epochs", str(scale.epochs), "--device", context.setting.device]
        command = [*torchrun(processes), *TRAINING, *words]
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # so that processes do not share cores
        done = subprocess.run(command, env=one_thread, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr.strip() or "no message").splitlines()
            message = next((line for line in lines if line.startswith("hsi: ")), lines[-1])
            raise HsiError(f"A training with {processes} processes failed under torchrun: {message}")
        run = Run(folder / "run")
        metrics = json.loads((run.path / "metrics.json").read_text(encoding="utf-8"))
        seconds = tuple(row["seconds"] for row in run.history[1:])
    pixels = sum(metrics["counts"][subset] for subset in ("train", "val"))
    return Measured(pixels / processes, seconds, metrics["peak_memory_mb"])
