"""Runs of a second each, one for each network."""

import numpy as np
import pytest

import hsi

BANDS = 12
OPTIONS = {
    "stnet": {},
    "kanet": {"kernel_size": 3, "grid": 4, "order": 2, "grid_range": [-2.0, 3.0]},
    "ekgnet": {"experts": 3, "temperature": 2.0},
    "wcnet": {"levels": [2, 1, 1]},
    "sgdscnet": {"points": [5, 3, 3]},
    "densenet3d": {},
}


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    """24 x 20 pixels of 12 bands with wavelengths: three classes in stripes."""
    folder = tmp_path_factory.mktemp("scene")
    random = np.random.default_rng(0)
    labels = np.zeros((24, 20), np.uint8)
    labels[:, 1:6], labels[:, 7:13], labels[:, 14:19] = 1, 2, 3
    cube = random.uniform(200, 900, (4, BANDS))[labels] + random.normal(0, 60, (24, 20, BANDS))
    np.save(folder / "cube.npy", cube)
    np.save(folder / "labels.npy", labels)
    (folder / "scene.toml").write_text(
        'name = "small"\ncube = "cube.npy"\nlabels = "labels.npy"\n'
        f"wavelengths_nm = {list(range(500, 500 + 10 * BANDS, 10))}\n"
        '[classes]\n1 = "Grass"\n2 = "Soil"\n3 = "Water"\n',
        encoding="utf-8",
    )
    return folder / "scene.toml"


@pytest.fixture(scope="session")
def run_of(scene, tmp_path_factory):
    """Return a function that trains a network once and gives its run."""
    runs = {}

    def run_of(name):
        if name not in runs:
            small = {} if name == "svm" else {"layers": [2, 1, 1], "growth": [4, 4, 4], **OPTIONS[name]}
            runs[name] = hsi.train(
                model=name,
                dataset=str(scene),
                protocol="disjoint",
                train=0.3,
                patch=7,
                epochs=2,
                batch=32,
                device="cpu",
                model_options=small,
                out=tmp_path_factory.mktemp("runs") / name,
            )
        return runs[name]

    return run_of


@pytest.fixture
def patches_round():
    """Return a function that cuts patches the way that scores are made, and runs a network on them.

    It also gives what each module of a kind took in.
    """
    import torch

    from hsi.inference.predict import make_cutter

    def patches_round(run, pixels, kind=None):
        cutter = make_cutter(run.load_scene(), run.preprocess, run.split, run.config, "cpu")
        patches = cutter(np.asarray(pixels))
        network, inputs = run.load_model("cpu"), []
        modules = [module for module in network.modules() if kind is not None and isinstance(module, kind)]
        for module in modules:
            module.register_forward_pre_hook(lambda _, args: inputs.append(args[0].clone()))
        with torch.no_grad():
            network(patches)
        return patches, modules, inputs

    return patches_round
