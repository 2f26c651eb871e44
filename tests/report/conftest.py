"""Two runs of a second on a small scene with an unruly class name, and their page."""

from __future__ import annotations

import numpy as np
import pytest

import hsi
from hsi.report.page import ReportFiles, write_report

NAMES = ("Grass", "Soil & <b>clay</b></script>", "Water\u202e $x_{$ \u200b")


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[hsi.Run]:
    """A network with leakage, and k-NN without, which is smoothed, on the same scene."""
    folder = tmp_path_factory.mktemp("report")
    random = np.random.default_rng(0)
    labels = np.zeros((24, 20), np.uint8)
    labels[:, 1:6], labels[:, 7:13], labels[:, 14:19] = 1, 2, 3
    labels[8] = labels[16] = 0
    cube = random.uniform(200, 900, (4, 12))[labels] + random.normal(0, 60, (24, 20, 12))
    np.save(folder / "cube.npy", cube.round().astype(np.uint16))
    np.save(folder / "labels.npy", labels)
    classes = "\n".join(f'{number} = "{name}"' for number, name in enumerate(NAMES, start=1))
    files = 'cube = {file = "cube.npy"}\nlabels = {file = "labels.npy"}'
    (folder / "scene.toml").write_text(f'name = "small"\n{files}\n[classes]\n{classes}\n', encoding="utf-8")
    shared = {"dataset": str(folder / "scene.toml"), "train": 0.2, "val": 0.2, "device": "cpu", "patch": 7}
    sizes = {"layers": [1, 1, 1], "growth": [4, 4, 4]}
    return [
        hsi.train(
            "densenet3d",
            scheme="random",
            epochs=2,
            batch=16,
            model_options=sizes,
            out=folder / "net",
            **shared,
        ),
        hsi.train("knn", scheme="disjoint", smooth="mean", out=folder / "knn", **shared),
    ]


@pytest.fixture(scope="session")
def written(runs: list[hsi.Run]) -> ReportFiles:
    return write_report([[run] for run in runs], runs[0].path.parent / "both.html", device="cpu")


@pytest.fixture(scope="session")
def page(written: ReportFiles) -> str:
    return written.page.read_text(encoding="utf-8")
