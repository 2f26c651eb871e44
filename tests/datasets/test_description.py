from __future__ import annotations

import math
from pathlib import Path

import pytest

from hsi.datasets.description import ArraySource, read_description
from hsi.errors import ConfigError, FileFormatError, InputError, SceneNotFoundError

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


def test_everything(tmp_path: Path) -> None:
    description = read_description(_write(tmp_path, FULL))
    facts = description.facts
    assert description.cube == ArraySource(tmp_path / "data" / "A.mat", "a")
    assert description.labels == ArraySource(Path("/elsewhere/gt.mat"), None)
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
    assert facts.unlabelled == (255, -1)
    assert facts.wrapped_negatives
    assert facts.class_names == {1: "Broccoli", 10: "Corn"}
    assert facts.colors == {1: "#2fb344"}


def test_two_lines_are_enough(tmp_path: Path) -> None:
    description = read_description(_write(tmp_path, 'cube = "field.npy"\nlabels = "gt.npy"\n'))
    assert description.cube == ArraySource(tmp_path / "field.npy")
    assert description.facts.name == "field"


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
        ("[classes]\n0 = 'Background'", "'0' is no class"),
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
    with pytest.raises(ConfigError, match="does not name the file of the labels"):
        read_description(_write(tmp_path, 'cube = "a.npy"'))
    with pytest.raises(FileFormatError, match="line 1"):
        read_description(_write(tmp_path, "cube = 3 4"))
    (tmp_path / "scene.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileFormatError, match="UTF-8"):
        read_description(tmp_path / "scene.toml")
    with pytest.raises(SceneNotFoundError, match="no file"):
        read_description(tmp_path / "no.toml")
    with pytest.raises(InputError, match="cannot be read"):
        read_description(tmp_path)
