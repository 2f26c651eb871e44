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


@pytest.mark.parametrize("vision", ["normal", "deuteranopia", "protanopia"])
@pytest.mark.parametrize(("classes", "distance"), [(2, 40), (8, 25), (16, 15), (24, 12), (64, 8)])
def test_default_palette_is_distinct_also_from_black(
    closest_pair, classes: int, distance: float, vision: str
) -> None:
    colors = default_palette(classes)
    assert len(set(colors)) == classes
    assert all(map(is_color, colors))
    assert closest_pair((UNLABELLED, *colors), vision) > distance
    assert default_palette(64)[:classes] == colors


def test_the_first_default_colours_claim_to_be_neither_plants_nor_water() -> None:
    lab = to_lab(to_rgb(default_palette(16)))
    chroma, hue = np.hypot(lab[:, 1], lab[:, 2]), np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    assert not ((chroma > 25) & (hue > 95) & (hue < 300)).any()


def test_palettes_of_the_benchmarks_are_distinct_also_from_black() -> None:
    for entry in list_scenes():
        if entry.cube is not None:
            assert len(entry.colors) == len(entry.class_names)
            assert all(map(is_color, entry.colors))
            assert _nearest(entry.colors) > 20, entry.name


@pytest.mark.parametrize("text", ["red", "#12345", "#12345g", "", 7, None, "#1234567"])
def test_not_a_colour(text: object) -> None:
    assert not is_color(text)
