from __future__ import annotations

import numpy as np
import pytest

from hsi.datasets.catalogue.entries import list_scenes
from hsi.datasets.scene import UNLABELLED, default_palette, is_color, to_lab, to_rgb


def _nearest(colors: tuple[str, ...]) -> float:
    lab = to_lab(to_rgb((UNLABELLED, *colors)))
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    return float(distances[~np.eye(len(lab), dtype=bool)].min())


def test_lab_of_known_colours() -> None:
    # Published values for sRGB red and grey 119 (D65).
    lab = to_lab(np.array([[255, 0, 0], [119, 119, 119], [255, 255, 255]], dtype=np.uint8))
    known = np.array([[53.24, 80.09, 67.20], [50.03, 0.0, 0.0], [100.0, 0.0, 0.0]])
    assert np.abs(lab - known).max() < 0.05


@pytest.mark.parametrize(("classes", "distance"), [(2, 40), (8, 24), (16, 24), (24, 20), (64, 12)])
def test_default_palette_is_distinct_also_from_black(classes: int, distance: float) -> None:
    colors = default_palette(classes)
    assert len(set(colors)) == classes
    assert all(map(is_color, colors))
    assert _nearest(colors) > distance
    assert default_palette(64)[:classes] == colors


def test_palettes_of_the_benchmarks_are_distinct_also_from_black() -> None:
    for entry in list_scenes():
        if entry.cube is not None:
            assert len(entry.colors) == len(entry.class_names)
            assert all(map(is_color, entry.colors))
            assert _nearest(entry.colors) > 20, entry.name


@pytest.mark.parametrize("text", ["red", "#12345", "#12345g", "", 7, None, "#1234567"])
def test_not_a_colour(text: object) -> None:
    assert not is_color(text)
