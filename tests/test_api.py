"""The names that users rely on."""

import importlib

import pytest
import torch

import hsi

OPERATORS = [
    "hsi.models.kanet.KANConv3d",
    "hsi.models.ekgnet.ExpertKernelConv3d",
    "hsi.models.wcnet.WaveletConv3d",
    "hsi.models.sgdscnet.SnakeConv3d",
    "hsi.models.stnet.SpatialSpectralTransformer",
    "hsi.models.densenet3d.DenseNet3D",
    "hsi.models.bspline.bspline_basis",
    "hsi.models.wavelet.dwt3d",
    "hsi.models.wavelet.idwt3d",
]


@pytest.mark.parametrize("path", OPERATORS)
def test_operators_have_public_names_with_docstrings(path):
    module, _, name = path.rpartition(".")
    assert getattr(importlib.import_module(module), name).__doc__


def test_everything_in_all_is_there():
    for name in hsi.__all__:
        assert getattr(hsi, name) is not None
    assert set(hsi.__all__) <= set(dir(hsi))
    assert hsi.datasets.load_scene is hsi.load_scene
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        _ = hsi.tarin


@pytest.mark.parametrize("name", ["densenet3d", "stnet", "kanet", "ekgnet", "wcnet", "sgdscnet", "SG-DSCNet"])
def test_every_network_maps_patches_to_logits(name):
    model = hsi.build_model(name, bands=24, classes=5, patch=7).eval()
    with torch.no_grad():
        assert model(torch.randn(2, 24, 7, 7)).shape == (2, 5)


# name -> parameters on Indian Pines, Pavia University, KSC: from the released code and from the formulas of
# each layer (EKGNet without its 18 frozen ones).
PARAMETERS = {
    "densenet3d": (585_184, 582_377, 583_981),
    "stnet": (3_168_736, 3_165_929, 3_167_533),
    "kanet": (3_275_488, 3_272_681, 3_274_285),
    "ekgnet": (2_760_250, 2_757_443, 2_759_047),
    "wcnet": (1_265_248, 1_262_441, 1_264_045),
    "sgdscnet": (2_346_028, 2_343_221, 2_344_825),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts(name):
    for (bands, classes), wanted in zip(((200, 16), (103, 9), (176, 13)), PARAMETERS[name], strict=True):
        model = hsi.build_model(name, bands=bands, classes=classes, patch=17)
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == wanted


def test_a_users_own_scene_and_network_join_the_tables(small_scene, tmp_path):
    from torch import nn

    @hsi.register_model("mean-spectrum")
    def mean_spectrum(bands, classes, patch, *, hidden=8):
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(bands, hidden),
            nn.ReLU(),
            nn.Linear(hidden, classes),
        )

    hsi.register_scene("my-farm", small_scene)
    run = hsi.train(
        model="mean-spectrum",
        dataset="My-Farm",
        protocol="disjoint",
        patch=3,
        epochs=2,
        batch=32,
        model_options={"hidden": 4},
        out=tmp_path / "run",
    )
    assert run.metrics["dataset"] == "my-farm"
    assert run.predict(run.load_scene()).shape == (24, 20)
    with pytest.raises(hsi.HsiError, match="registered already"):
        hsi.register_model("mean-spectrum")(mean_spectrum)
