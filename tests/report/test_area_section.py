"""Class areas of the page against the stratified estimator, written out."""

from types import SimpleNamespace

import numpy as np
import pytest

from hsi.report.area_section import area_section, quantity
from hsi.report.pictures import classify


def number_of(text):
    """The number that a cell shows."""
    return float(text.replace("\u202f", ""))


def test_areas_are_those_of_the_stratified_estimator(runs):
    run = runs[1]
    scene = run.load_scene()
    found = classify(run, scene, device="cpu")
    section = area_section(run, scene, found)
    mapped, truth = found.labels.ravel(), scene.labels.ravel()
    assert section["unit"] == "pixels"  # the scene has no coordinates
    assert [row["name"] for row in section["rows"]] == list(scene.class_names)
    drawn = {label: truth[[p for p in run.split.test if mapped[p] == label]] for label in (1, 2, 3)}
    assert all(len(labels) for labels in drawn.values())
    for label, row in enumerate(section["rows"], start=1):
        counted, corrected, interval, users, *_ = row["values"]
        assert number_of(counted) == (mapped == label).sum()
        area = sum((mapped == other).sum() * (labels == label).mean() for other, labels in drawn.items())
        assert number_of(corrected) == pytest.approx(area, abs=0.5)
        low, high = map(number_of, interval.split(" – "))
        assert low <= number_of(corrected) <= high
        assert number_of(users) == pytest.approx(100 * (drawn[label] == label).mean(), abs=0.051)
    said = " ".join(section["notes"])
    assert "no probability sample" in said
    assert "with hsi area --samples" in said


def test_without_test_pixels_on_the_map_there_are_none(runs):
    scene = runs[0].load_scene()
    found = classify(runs[0], scene, device="cpu")
    nothing = SimpleNamespace(split=SimpleNamespace(test=np.array([], np.int64)))
    assert area_section(nothing, scene, found) is None


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (12345.6, "ha", "12\u202f346"),
        (12.3456, "ha", "12.35"),
        (0.0, "ha", "0"),
        (3.4, "pixels", "3"),
        (1999.6, "pixels", "2\u202f000"),
    ],
)
def test_areas_have_four_digits(value, unit, shown):
    assert quantity(value, unit) == shown
