"""What is written describes what was read: loaded again, the scene is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hsi.datasets import load_scene
from hsi.datasets.new_description import describe_files
from hsi.datasets.own_files import ArraySource
from hsi.errors import SceneError

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
    assert '3 = "class 3"  # 12 pixels' in made.text


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
