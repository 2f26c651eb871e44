"""Finished runs without a training: real folders whose predictions are chosen by the test."""

import json

import numpy as np
import pytest

import hsi
from hsi.config import Config
from hsi.runs.run_files import save_predictions


@pytest.fixture
def make_run(small_scene):
    """A function that writes a run folder in which a share of the test pixels is wrong."""
    scene = hsi.load_scene(small_scene)

    def make(
        folder,
        *,
        wrong=0.2,
        seed=0,
        split_seed=None,
        draw=0,
        train=0.2,
        val=0.2,
        model="svm",
        patch=3,
        masks=None,
        **options,
    ):
        how = {"scheme": "random", "train": train} if masks is None else {"scheme": "mask", "masks": masks}
        split_seed = seed if split_seed is None else split_seed
        split = hsi.make_split(scene, **how, val=val, patch=patch, seed=split_seed)
        random = np.random.default_rng([draw, seed])
        predictions, metrics = {}, {}
        for part in ("train", "val", "test"):
            truth = scene.labels.ravel()[getattr(split, part)]
            hit = random.random(len(truth)) < wrong
            predictions[part] = np.where(hit, truth % scene.classes + 1, truth)
            metrics[part] = hsi.score(truth, predictions[part], scene.classes).as_dict()
        folder.mkdir(parents=True)
        split.save(folder / "split.npz")
        save_predictions(folder, predictions)
        leakage = split.leakage(patch)
        metrics |= {
            "model": model,
            "dataset": scene.name,
            "scheme": how["scheme"],
            "device": "cpu",
            "seed": seed,
            "patch": patch,
            "bands": scene.bands,
            "class_names": list(scene.class_names),
            "seconds": {"load": 0.0, "train": 0.0, "test": 0.0},
            "counts": split.counts,
            "leakage": {"centre": leakage.centre, "overlap": leakage.overlap},
        }
        (folder / "metrics.json").write_text(json.dumps(metrics))
        config = Config(
            model=model,
            dataset=str(small_scene),
            seed=seed,
            patch=patch,
            scheme=how["scheme"],
            train=train,
            **options,
        )
        (folder / "config.toml").write_text(config.to_toml())
        return hsi.open_run(folder)

    return make
