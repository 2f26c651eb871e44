"""Exported files against the run's own map and scores, with patches cut by NumPy alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import hsi
from hsi.commands.app import run
from hsi.datasets.load import load_unlabelled
from hsi.export import export_run


def numpy_patches(cube, patch, regions=None, mirrored=False):
    """Every pixel's patch ``(rows * cols, bands, P, P)``: missing pixels are NaN, or the mirrored scene."""
    margin = patch // 2
    around = ((margin, margin), (margin, margin), (0, 0))
    values = cube.astype(np.float32)
    if mirrored:
        padded = np.pad(values, around, mode="reflect")
    else:
        padded = np.pad(values, around, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (patch, patch), axis=(0, 1))
    patches = windows.reshape(-1, *windows.shape[2:]).copy()
    if regions is not None:
        mode = {"mode": "reflect"} if mirrored else {"constant_values": -99}
        padded = np.pad(regions.astype(np.int64), margin, **mode)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (patch, patch)).reshape(-1, patch, patch)
        other = windows != regions.reshape(-1)[:, None, None]
        patches[np.broadcast_to(other[:, None], patches.shape)] = np.nan
    return patches


def predict(path, patches):
    """Give the patches to a file as another program would."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["patches"]
    return session.run(["probabilities"], {"patches": patches})[0]


@pytest.fixture(scope="module")
def onnx_file(folder):
    """The run ``bands`` as ONNX, which takes seconds to write."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        opened = hsi.open_run("bands")
        return export_run(opened, opened.load_scene())


def test_file_gives_the_runs_map_and_probabilities(runs, onnx_file):
    assert onnx_file.file == Path("bands/model.onnx")
    assert onnx_file.check.max_difference < 1e-5
    compare("bands", "bands/model.onnx")


@pytest.mark.usefixtures("onnx_file")
def test_command_on_a_run_with_pca_mirrored_edges_and_averaged_views(runs, capsys):
    assert run(["export", "pca", "--out", "p.onnx", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["run"], printed["file"], printed["format"]) == ("pca", "p.onnx", "onnx")
    assert printed["check"]["max_difference"] < 1e-5
    assert printed["check"]["labels_differ"] == 0
    assert printed["check"]["patches"] > 50
    compare("pca", "p.onnx")


def compare(name, file):
    """Compare a file's probabilities for all pixels with those of the run."""
    opened = hsi.open_run(name)
    scene = opened.load_scene()
    regions = opened.split.patch_regions
    assert len(np.unique(regions)) > 1
    kept = opened.band_choice.numbers  # the file has a band of a single value
    patches = numpy_patches(np.load("cube.npy")[:, :, kept], 7, regions, mirrored=name == "pca")
    found = predict(file, patches)
    assert found.shape == (24 * 20, 3)
    for window, logits, _ in opened.classify(scene):
        assert window.shape == (24, 20)
        expected = torch.softmax(torch.from_numpy(logits), dim=2).numpy().reshape(-1, 3)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    labels = opened.predict(scene, smooth="none").ravel()
    np.testing.assert_array_equal(found.argmax(axis=1) + 1, labels)
    np.testing.assert_allclose(predict(file, patches[:1]), expected[:1], atol=1e-5)


def test_pixel_without_data_is_as_on_a_map(runs, onnx_file):
    cube = np.load("cube.npy").astype(np.float32)
    cube[10, 9, 4] = np.nan  # one band is enough
    cube[11, 3] = np.inf
    np.save("holes.npy", cube)
    opened = hsi.open_run("bands")
    ((_, logits, missing),) = opened.classify(load_unlabelled("holes.npy"))
    assert missing.sum() == 2
    expected = torch.softmax(torch.from_numpy(logits), dim=2).numpy().reshape(-1, 3)
    kept = cube[:, :, opened.band_choice.numbers]
    np.testing.assert_allclose(predict(onnx_file.file, numpy_patches(kept, 7)), expected, atol=1e-5)


def test_metadata(runs, onnx_file):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(onnx_file.file)
    onnx.checker.check_model(model)
    facts = {each.key: each.value for each in model.metadata_props}
    assert facts == onnx_file.facts
    assert json.loads(facts["class_names"]) == ["Grass", "Soil", "Water"]
    kept = [band for band in range(12) if band != 7]
    assert json.loads(facts["band_choice"]) == {"count": 12, "numbers": kept}
    assert json.loads(facts["wavelengths_nm"]) == [500 + 10 * band for band in kept]
    assert (facts["patch"], facts["model"], facts["scene"]) == ("7", "densenet3d", "small")
    assert facts["hsi_version"] == hsi.__version__
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    assert sizes[0].dim_param
    assert [size.dim_value for size in sizes][1:] == [11, 7, 7]


@pytest.mark.usefixtures("onnx_file")
def test_file_that_differs_from_the_run_is_not_kept(runs, capsys, monkeypatch):
    from hsi.export.graph import _Standardise

    plain = _Standardise.forward
    monkeypatch.setattr(_Standardise, "forward", lambda self, patches: plain(self, patches) + 0.1)
    before = sorted(path.name for path in runs.iterdir())
    assert run(["export", "bands", "--out", "wrong.onnx"]) == 1
    assert "differs from the run by" in capsys.readouterr().err
    assert sorted(path.name for path in runs.iterdir()) == before


@pytest.mark.usefixtures("onnx_file")
def test_unchecked_file_is_told_and_summed_up(runs, capsys, monkeypatch):
    from hsi.export import onnx_file

    plain = onnx_file.find_spec
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None if name == "onnxruntime" else plain(name))
    assert run(["export", "bands", "--out", "unchecked.onnx"]) == 0
    shown = capsys.readouterr()
    assert "The file was not checked, since ONNX Runtime is missing" in shown.err
    assert shown.out.startswith("File: unchecked.onnx (")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bands", "--format", "onx"], "Did you mean 'onnx'?"),
        (["bands", "--format", "torchscript"], "went in 0.2, since PyTorch deprecated TorchScript; use"),
        (["bands", "--out", "x.pt"], "ends with .onnx"),
        (["bands", "--out", "no/x.onnx"], "does not exist"),
        (["nothing"], "is not a run folder"),
    ],
)
def test_bad_input_is_one_sentence(runs, capsys, arguments, words):
    assert run(["export", *arguments]) == 2
    shown = capsys.readouterr().err
    assert words in shown
    assert shown.count("\n") == 1


@pytest.mark.usefixtures("onnx_file")
def test_only_networks_can_be_exported(runs, capsys):
    assert run(["export", "knn"]) == 2
    shown = capsys.readouterr().err
    assert "only networks can be exported" in shown
    assert shown.count("\n") == 1
    assert not list(runs.glob("knn/model*"))


def test_missing_extra_is_named(runs, capsys, monkeypatch):
    monkeypatch.setattr("hsi.export.onnx_file.find_spec", lambda name: None)
    assert run(["export", "bands", "--out", "none.onnx"]) == 2
    assert "pip install 'hsi-toolkit[export]'" in capsys.readouterr().err
    assert not (runs / "none.onnx").exists()
