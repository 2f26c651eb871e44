"""Real scenes, each described by a scene.toml, from file to score."""

import json
from pathlib import Path

import numpy as np
import pytest

import hsi
from hsi.commands.app import run

# name -> (description after the file paths, shape, pixels of each class, codes in the label file)
SCENES = {
    "salinasa": (
        """
        title = "SalinasA"
        sensor = "AVIRIS"
        cube = {{ file = "{scenes}/SalinasA_corrected.mat", key = "salinasA_corrected" }}
        labels = {{ file = "{scenes}/SalinasA_gt.mat", key = "salinasA_gt" }}
        [classes]
        1 = "Brocoli_green_weeds_1"
        10 = "Corn_senesced_green_weeds"
        11 = "Lettuce_romaine_4wk"
        12 = "Lettuce_romaine_5wk"
        13 = "Lettuce_romaine_6wk"
        14 = "Lettuce_romaine_7wk"
        """,
        (83, 86, 204),
        (391, 1343, 616, 1525, 674, 799),
        (1, 10, 11, 12, 13, 14),
    ),
    "pavia-crop": (
        """
        title = "Pavia University, a part"
        sensor = "ROSIS"
        cube = {{ file = "{scenes}/PaviaU_crop.mat", key = "paviaU" }}
        labels = {{ file = "{scenes}/PaviaU_crop.mat", key = "paviaU_gt" }}
        """,
        (140, 80, 103),
        (86, 461, 52, 311, 342, 1234, 249, 193),
        (1, 2, 4, 5, 6, 7, 8, 9),
    ),
    "indian-crop": (
        """
        title = "Indian Pines, a part"
        sensor = "AVIRIS"
        cube = {{ file = "{scenes}/Indian_pines_crop.mat", key = "Indian_subset" }}
        labels = {{ file = "{scenes}/Indian_pines_crop.mat", key = "Indian_subset_gt" }}
        """,
        (70, 70, 200),
        (1005, 358, 732, 1474),
        (2, 6, 10, 11),
    ),
    "indian-mnf": (
        """
        title = "Indian Pines, 20 MNF components"
        cube = {{ file = "{scenes}/Indian_pines_mnf20.npz", key = "cube" }}
        labels = {{ file = "{scenes}/Indian_pines_mnf20.npz", key = "gt" }}
        """,
        (145, 145, 20),
        (46, 1428, 830, 237, 483, 730, 28, 478, 20, 972, 2455, 593, 205, 1265, 386, 93),
        tuple(range(1, 17)),
    ),
}


def describe(name: str, real_data: Path, folder: Path) -> Path:
    """Write the scene.toml of a real scene into `folder`."""
    text = SCENES[name][0].format(scenes=(real_data / "scenes").resolve().as_posix())
    path = folder / f"{name}.toml"
    lines = [f'name = "{name}"', *(line.strip() for line in text.strip().splitlines())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SCENES)
def test_a_described_scene_is_what_its_files_hold(name, real_data, tmp_path):
    scene = hsi.load_scene(str(describe(name, real_data, tmp_path)))
    _, shape, counts, codes = SCENES[name]
    assert scene.cube.shape == shape
    assert scene.counts == counts
    assert scene.label_codes == codes
    assert scene.labels.max() == len(counts)


@pytest.mark.parametrize("name", SCENES)
def test_disjoint_areas_do_not_leak(name, real_data, tmp_path):
    scene = hsi.load_scene(str(describe(name, real_data, tmp_path)))
    split = hsi.make_split(scene, scheme="disjoint", guard="mask", train=0.3, val=0.1, patch=11, seed=0)
    assert split.leakage(11).centre == 0
    assert split.leakage(11).overlap == 0
    assert sum(split.counts.values()) == sum(scene.counts)
    random = hsi.make_split(scene, scheme="random", train=0.1, val=0.1, patch=11, seed=0)
    assert random.leakage(11).centre > 0.9


def test_the_plain_network_learns_salinasa(real_data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    describe("salinasa", real_data, tmp_path)
    said = "--model densenet3d --dataset salinasa.toml --preset quick --scheme random --train 0.1 --val 0.05"
    assert run(["train", *said.split(), "--pca", "12", "--epochs", "8", "--out", "run", "--json"]) == 0
    shown = capsys.readouterr()
    metrics = json.loads(shown.out)
    assert metrics["test"]["oa"] > 0.95
    assert metrics["leakage"]["centre"] > 0.9
    assert "quick preset" in shown.err
    assert run(["evaluate", "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test"] == metrics["test"]
    opened = hsi.open_run("run")
    labels = opened.predict(opened.load_scene())
    assert labels.shape == (83, 86)
    assert set(np.unique(labels)) <= set(range(1, 7))
