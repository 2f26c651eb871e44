"""A small finished run, whose files are damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from torture.fuzz_mutate import Packed
from torture.fuzz_seeds import Files, npz_files

MODEL = {"layers": [1, 1, 1], "growth": [4, 4, 4]}


def train_small(folder: Path, cube: Any, labels: Any) -> Path:
    """Train a small network for an epoch on a crop, unless it exists; return the run folder."""
    import hsi

    if (folder / "run" / "metrics.json").is_file():
        return folder / "run"

    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "cube.npy", cube)
    np.save(folder / "labels.npy", labels)
    scene = folder / "scene.toml"
    scene.write_text('cube = "cube.npy"\nlabels = "labels.npy"\n', encoding="utf-8")
    run = hsi.train(
        model="densenet3d", dataset=str(scene), scheme="per-class", per_class=4, patch=7, epochs=1, batch=8,
        model_options=MODEL, out=folder / "run", device="cpu",
    )  # fmt: skip
    return run.path


def run_files(run: Path) -> Files:
    """Return the text files of a run."""
    names = ("config.toml", "metrics.json", "history.csv", "environment.json")
    return {name: (run / name).read_bytes() for name in names}


def array_files(run: Path, name: str) -> list[Files]:
    """Return an archive of a run as it is, and in parts, which are packed after the damage."""
    with np.load(run / name, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    return [{name: (run / name).read_bytes()}, *npz_files(name, arrays)]


def checkpoint_files(run: Path, name: str) -> list[Files]:
    """Return a checkpoint as it is, and in parts: the header gets its true length after the damage."""
    whole = (run / "checkpoint" / name).read_bytes()
    length = int.from_bytes(whole[:8], "little")
    parts = {"header": whole[8 : 8 + length], "numbers": whole[8 + length :]}

    def pack(some: Any) -> bytes:
        return len(some["header"]).to_bytes(8, "little") + some["header"] + some["numbers"]

    return [{name: whole}, {name: Packed(parts, pack)}]
