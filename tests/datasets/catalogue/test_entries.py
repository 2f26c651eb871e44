from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from hsi.datasets.catalogue import entries as catalogue
from hsi.datasets.catalogue.downloader import file_sha256
from hsi.datasets.catalogue.entries import SceneEntry, find_entry, list_scenes, register_scene, scene_entry
from hsi.datasets.formats.readers import read_array
from hsi.errors import InputError, SceneNotFoundError


@pytest.fixture
def own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test a copy of the table, so that what it registers is forgotten."""
    monkeypatch.setattr(catalogue, "_entries", {entry.name: entry for entry in list_scenes()})


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("in", "IN"), ("ip", "IN"), ("Indian_Pines", "IN"), ("indian pines", "IN"), ("PU", "UP"),
        ("paviau", "UP"), ("ksc", "KSC"), ("sv", "SA"), ("salinas", "SA"), ("pc", "PC"), ("bs", "BO"),
        ("Bo", "BO"), ("hu", "HU13"), ("UH", "HU13"), ("Houston13", "HU13"), ("DEMO", "demo"),
    ],
)  # fmt: skip
def test_names_and_aliases_in_any_case(word: str, name: str) -> None:
    assert scene_entry(word).name == name


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(SceneNotFoundError, match=r"Unknown scene 'KSD'. Did you mean 'KSC'\? Known: .*UP"):
        scene_entry("KSD")
    assert find_entry("") is None


def test_the_table_is_complete_and_consistent() -> None:
    entries = list_scenes()
    assert [entry.name for entry in entries][:8] == ["IN", "UP", "KSC", "SA", "PC", "BO", "HU13", "demo"]
    for entry in entries[:7]:
        assert entry.shape is not None
        assert entry.cube is not None
        assert entry.labels is not None
        assert len(entry.class_names) == len(entry.class_counts) == len(entry.colors)
        assert len(set(entry.class_names)) == len(entry.class_names)
        assert max(entry.rgb_bands) < entry.shape[2]
        assert len(entry.wavelengths_nm) in (0, entry.shape[2])
        assert entry.terms
        assert entry.source.startswith("https://")
        assert bool(entry.by_hand) != bool(entry.cube.urls)
        for file in entry.files:
            assert len(file.sha256) == 64
            assert set(file.sha256) <= set("0123456789abcdef")
            for url in file.urls:
                assert url.startswith("https://")
                assert urlsplit(url).path.endswith("/" + file.file)
    assert len(scene_entry("HU").files) == 1
    assert scene_entry("demo").synthetic


@pytest.mark.parametrize(
    ("name", "labelled"),
    [
        ("IN", 10249),
        ("UP", 42776),
        ("KSC", 5211),
        ("SA", 54129),
        ("PC", 148152),
        ("BO", 3248),
        ("HU13", 15029),
    ],
)
def test_labelled_pixels(name: str, labelled: int) -> None:
    assert sum(scene_entry(name).class_counts) == labelled


def test_counts_and_hashes_are_those_of_the_label_files(real_data: Path) -> None:
    checked = 0
    for entry in list_scenes():
        path = real_data / "labels" / entry.labels.file if entry.labels else None
        if path is None or entry.labels is None or entry.shape is None or not path.is_file():
            continue
        labels = read_array(path, ndim=2, key=entry.labels.keys[0])
        assert labels.shape == entry.shape[:2]
        assert tuple(np.bincount(labels.ravel())[1:]) == entry.class_counts
        assert file_sha256(path) == entry.labels.sha256
        assert path.stat().st_size == entry.labels.size
        assert entry.counts_verified
        assert entry.labels.sha256_verified
        checked += 1
    assert checked == 5


@pytest.mark.usefixtures("own_table")
def test_registering_a_scene() -> None:
    entry = register_scene("Field", "field/scene.toml", title="My field", aliases=("acker",))
    assert scene_entry("ACKER") is entry
    assert list_scenes()[-1] is entry
    assert entry.description == Path("field/scene.toml")
    for taken in ("field", "indian-pines", "ip"):
        with pytest.raises(InputError, match="registered already"):
            register_scene(taken, "x.toml")
    with pytest.raises(InputError, match="registered already"):
        register_scene("other", "x.toml", aliases=("Acker",))
    with pytest.raises(InputError, match="needs a name"):
        register_scene(" ", "x.toml")


def test_entry_points_of_other_packages_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    class Point(EntryPoint):
        def load(self) -> None:
            loaded.append(self.name)
            register_scene("from-a-package", "x.toml")

    def points(group: str) -> list[EntryPoint]:
        assert group == "hsi.scenes"
        return [Point("plugin", "package.scenes", group)]

    monkeypatch.setattr(catalogue, "_entries", {})
    monkeypatch.setattr(catalogue, "_filled", False)
    monkeypatch.setattr(catalogue, "entry_points", points)
    assert scene_entry("From_A_Package").description == Path("x.toml")
    assert [entry.name for entry in list_scenes()].count("from-a-package") == 1
    assert loaded == ["plugin"]


def test_an_entry_without_files() -> None:
    assert SceneEntry("x").files == ()
