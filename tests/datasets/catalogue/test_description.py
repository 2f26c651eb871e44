"""What is written describes what was read: loaded again, the scene is the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hsi.datasets import load_scene
from hsi.datasets.catalogue.describe import describe_files
from hsi.datasets.catalogue.description import read_description
from hsi.datasets.formats.readers import ArraySource
from hsi.errors import ConfigError, FileFormatError, InputError, SceneError, SceneNotFoundError

FULL = """
name = "salinas-a"
title = "Salinas A"
sensor = "AVIRIS"
cube = { file = "data/A.mat", key = "a" }
labels = { file = "/elsewhere/gt.mat" }
wavelengths_nm = [400, 409.8]
drop_bands = [3, 4]
no_data = nan
unlabelled = [255, -1]
wrapped_negatives = true
synthetic = true

[classes]
1 = "Broccoli"
10 = "Corn"

[colors]
1 = "#2FB344"
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "scene.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_everything(tmp_path: Path) -> None:
    _touch(tmp_path / "data" / "A.mat")
    description = read_description(_write(tmp_path, FULL))
    facts = description.facts
    assert description.cube == ArraySource(tmp_path / "data" / "A.mat", "a")
    assert description.labels == ArraySource(Path("/elsewhere/gt.mat"), None, plain=True)
    assert (facts.name, facts.title, facts.sensor, facts.synthetic) == (
        "salinas-a",
        "Salinas A",
        "AVIRIS",
        True,
    )
    assert facts.wavelengths_nm == (400.0, 409.8)
    assert facts.drop_bands == (3, 4)
    assert facts.no_data is not None
    assert math.isnan(facts.no_data)
    assert facts.labels.unlabelled == (255, -1)
    assert facts.wrapped_negatives
    assert facts.class_names == {1: "Broccoli", 10: "Corn"}
    assert facts.colors == {1: "#2fb344"}


def test_bands_and_the_attribute_of_drawn_labels(tmp_path: Path) -> None:
    _touch(tmp_path / "a.hdr", tmp_path / "b.geojson")
    text = 'cube = "a.hdr"\nlabels = { file = "b.geojson", class_field = "crop" }\nbands = "0-9,no-water"\n'
    description = read_description(_write(tmp_path, text))
    assert description.labels == ArraySource(tmp_path / "b.geojson", "crop", plain=True)
    assert description.facts.bands == "0-9,no-water"
    assert description.facts.drop_bands is None
    assert read_description(_write(tmp_path, text + "drop_bands = []\n")).facts.drop_bands == ()
    with pytest.raises(ConfigError, match="has both key and class_field"):
        read_description(_write(tmp_path, text.replace("class_field", 'key = "x", class_field')))


def test_two_lines_are_enough(tmp_path: Path) -> None:
    _touch(tmp_path / "field.npy", tmp_path / "gt.npy")
    description = read_description(_write(tmp_path, 'cube = "field.npy"\nlabels = "gt.npy"\n'))
    assert description.cube == ArraySource(tmp_path / "field.npy")
    assert description.facts.name == ""  # then the name of the file


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("wavelength_nm = [1]", "unknown key 'wavelength_nm'.*Did you mean 'wavelengths_nm'"),
        ('cube = { file = "a", kee = "b" }', "unknown key 'kee'.*Did you mean 'key'"),
        ('cube = { key = "b" }', "lacks the file"),
        ("cube = 3", "must be a file name"),
        ("synthetic = 1", "true or false"),
        ('name = ""', "text in quotes"),
        ('name = "a/b"', "file names"),
        ("no_data = true", "must be a number"),
        ("no_data = '-9999'", "must be a number"),
        ("drop_bands = [-1]", "counted from 0"),
        ("drop_bands = [1.5]", "whole number"),
        ("wavelengths_nm = [0.0]", "no wavelength"),
        ("wavelengths_nm = [inf]", "no wavelength"),
        ("unlabelled = [true]", "whole number"),
        ("classes = ['a', 'b']", "must be a table"),
        ("[classes]\nwater = 'Water'", "'water' is no class"),
        ("[classes]\n-1 = 'Background'", "'-1' is no class"),
        ("[classes]\n1 = 7", "class 1 must be a text"),
        ("[colors]\n1 = 'red'", 'such as "#2fb344"'),
    ],
)
def test_mistakes_are_named(tmp_path: Path, line: str, words: str) -> None:
    start = "" if line.startswith("cube") else 'cube = "a.npy"\n'
    path = _write(tmp_path, start + 'labels = "gt.npy"\n' + line + "\n")
    with pytest.raises(ConfigError, match=words) as caught:
        read_description(path)
    assert "scene.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_broken_descriptions(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not name the file of the cube"):
        read_description(_write(tmp_path, 'labels = "a.npy"'))
    with pytest.raises(ConfigError, match="has test_labels without labels"):
        read_description(_write(tmp_path, 'cube = "a.npy"\ntest_labels = "b.npy"'))
    with pytest.raises(FileFormatError, match="line 1"):
        read_description(_write(tmp_path, "cube = 3 4"))
    (tmp_path / "scene.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileFormatError, match="UTF-8"):
        read_description(tmp_path / "scene.toml")
    with pytest.raises(SceneNotFoundError, match="no file"):
        read_description(tmp_path / "no.toml")
    with pytest.raises(InputError, match="cannot be read"):
        read_description(tmp_path)


@pytest.mark.parametrize(
    ("named", "lies"),
    [
        ("Field.npy", "field.NPY"),
        ("Field.npy", "a/b/c/Field.npy"),
        ("masks/Field.npy", "deep/MASKS/field.npy"),
    ],
)
def test_a_file_elsewhere_is_found_under_the_data_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, lies: str
) -> None:
    root, folder = tmp_path / "root", tmp_path / "shared"
    _touch(root / lies, root / "other" / "Field_2.npy", root / "Field.npz", folder / "gt.npy")
    path = _write(folder, f'cube = "{named}"\nlabels = "gt.npy"\n')
    description = read_description(path, root)
    assert description.cube == ArraySource(root / lies)
    assert description.labels == ArraySource(folder / "gt.npy", plain=True)
    monkeypatch.setenv("HSI_DATA", str(root))
    assert read_description(path) == description


def test_a_file_beside_the_description_wins_and_none_is_one_sentence(tmp_path: Path) -> None:
    root, folder = tmp_path / "root", tmp_path / "shared"
    _touch(root / "cube.npy", root / "masks" / "x.npy", folder / "cube.npy", folder / "gt.npy")
    path = _write(folder, 'cube = "cube.npy"\nlabels = "gt.npy"\n')
    assert read_description(path, root).cube.file == folder / "cube.npy"
    path = _write(folder, 'cube = "other/x.npy"\nlabels = "gt.npy"\n')
    with pytest.raises(SceneNotFoundError, match=r"There is no file .*x\.npy.*--data-root") as caught:
        read_description(path, root)
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_description_far_from_its_data_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, folder = tmp_path / "root", tmp_path / "shared"
    root.mkdir()
    folder.mkdir()
    monkeypatch.delenv("HSI_DATA", raising=False)
    np.save(root / "CUBE.npy", np.random.default_rng(0).normal(size=(6, 7, 5)).astype(np.float32))
    np.save(root / "gt.npy", np.arange(42).reshape(6, 7) % 3)
    path = _write(folder, 'cube = "cube.npy"\nlabels = "gt.npy"\n')
    assert load_scene(path, data_root=root).cube.shape == (6, 7, 5)


RANDOM = np.random.default_rng(0)


def _labels() -> np.ndarray:
    labels = np.zeros((8, 10), np.uint8)
    labels[:3, 1:5], labels[4:, 6:9] = 3, 7
    return labels


@pytest.mark.parametrize("stem", ["field", 'my "best": flight #1', ".hidden", "é"])
def test_the_text_is_read_back(tmp_path: Path, stem: str) -> None:
    inside, out = tmp_path / "data files", tmp_path / "described" / "scene.toml"
    inside.mkdir()
    out.parent.mkdir()
    cube = RANDOM.integers(1, 900, (8, 10, 4)).astype(np.uint16)
    np.savez(inside / f"{stem}.npz", cube=cube, other=cube, gt=_labels())
    path = inside / f"{stem}.npz"
    made = describe_files(ArraySource(path, "other"), ArraySource(path, "gt"), out)
    assert not out.exists()
    out.write_text(made.text, encoding="utf-8")
    scene = load_scene(out)
    np.testing.assert_array_equal(scene.cube, cube)
    np.testing.assert_array_equal(scene.labels, made.scene.labels)
    assert replace(scene, cube=cube, labels=cube) == replace(made.scene, cube=cube, labels=cube)
    assert scene.label_codes == (3, 7)
    assert "# 12 pixels" not in made.text.split("[classes]")[0]
    assert '3 = "code 3"  # 12 pixels' in made.text


def test_values_that_are_no_numbers_become_no_data(tmp_path: Path) -> None:
    cube = RANDOM.normal(5, 1, (8, 10, 4)).astype(np.float32)
    cube[0, :3] = np.nan
    np.save(tmp_path / "a.npy", cube)
    np.save(tmp_path / "gt.npy", _labels())
    with pytest.raises(SceneError, match="no_data = nan"):
        load_scene(tmp_path / "a.npy", labels=tmp_path / "gt.npy")
    out = tmp_path / "scene.toml"
    made = describe_files(ArraySource(tmp_path / "a.npy"), ArraySource(tmp_path / "gt.npy"), out)
    assert "3 pixels hold values that are no numbers" in " ".join(made.notes)
    out.write_text(made.text)
    assert load_scene(out).counts == (10, 12)


def test_a_value_that_fills_pixels_is_offered_but_not_taken(
    tmp_path: Path, write_envi: Callable[..., Path]
) -> None:
    cube = RANDOM.integers(1, 900, (8, 10, 4)).astype(np.int16)
    cube[0, :3] = -50
    np.save(tmp_path / "a.npy", cube)
    np.save(tmp_path / "gt.npy", _labels())
    labels = ArraySource(tmp_path / "gt.npy")
    out = tmp_path / "scene.toml"
    made = describe_files(ArraySource(tmp_path / "a.npy"), labels, out)
    assert "\n# no_data = -50 " in made.text
    assert "3 pixels hold -50 in every band" in " ".join(made.notes)
    assert made.scene.counts == (12, 12)
    out.write_text(made.text.replace("# no_data", "no_data"))
    assert load_scene(out).counts == (10, 12)
    said = describe_files(
        ArraySource(write_envi(tmp_path / "b.x", cube, data_ignore_value="-50")), labels, out
    )
    assert said.scene.counts == (10, 12)
    assert "in every band" not in " ".join(said.notes)


def test_layers_of_one_file_make_a_split(tmp_path: Path) -> None:
    _touch(tmp_path / "c.tif", tmp_path / "l.gpkg")
    text = (
        'cube = "c.tif"\nlabels = { file = "l.gpkg", layer = "a" }\n'
        'test_labels = { file = "l.gpkg", layer = "b", class_field = "crop" }\n'
    )
    labels = read_description(_write(tmp_path, text)).labels
    assert isinstance(labels, dict)
    file = tmp_path / "l.gpkg"
    assert labels["train"] == ArraySource(file, plain=True, layer="a")
    assert labels["test"] == ArraySource(file, "crop", plain=True, layer="b")
