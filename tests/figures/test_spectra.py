from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hsi.datasets.scene import Scene
from hsi.errors import InputError
from hsi.figures.spectra import class_spectra, draw_spectra, gaps


@pytest.fixture
def scene():
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, (8, 9))
    names, colors = ("Corn", "Soil", "Absent"), ("#ff0000", "#00ff00", "#0000ff")
    nm = np.array([400.0, 410, 420, 600, 610])
    cube = random.integers(0, 999, (8, 9, 5)).astype(np.uint16)
    return Scene("x", cube, labels, names, colors, wavelengths_nm=nm)


def test_mean_and_spread_of_each_class(scene):
    spectra = class_spectra(scene)
    for number in (1, 2):
        values = scene.cube[scene.labels == number].astype(float)
        assert np.allclose(spectra.mean[number - 1], values.mean(axis=0))
        assert np.allclose(spectra.std[number - 1], values.std(axis=0))
    assert np.isnan(spectra.mean[2]).all()


def test_lines_break_where_bands_are_missing():
    assert gaps(np.array([400.0, 410, 420, 600, 610])) == [3]
    assert gaps(np.array([610.0, 600, 420, 410, 400])) == [2]
    assert gaps(np.arange(50.0)) == gaps(np.array([500.0])) == []


def test_a_panel_a_class(scene):
    figure = draw_spectra(scene)
    panels = figure.axes
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["Mean of the class (pixels)", "± 1 standard deviation", "Mean of all labelled pixels"]
    counts = [int((scene.labels == number).sum()) for number in (1, 2, 3)]
    titles = [panel.get_title(loc="left") for panel in panels]
    assert titles == [f"Corn ({counts[0]})", f"Soil ({counts[1]})", "Absent (0)"]
    drawn = [line for line in panels[0].lines if line.get_color() == "black"]
    assert [len(line.get_xdata()) for line in drawn] == [3, 2]
    mean = np.concatenate([line.get_ydata() for line in drawn])
    assert np.allclose(mean, scene.cube[scene.labels == 1].mean(axis=0))
    grey = np.concatenate([line.get_ydata() for line in panels[0].lines if line.get_color() != "black"])
    assert np.allclose(grey, scene.cube[scene.labels > 0].mean(axis=0))


def test_refuses_a_scene_without_labels(scene):
    with pytest.raises(InputError, match="no pixel is labelled"):
        draw_spectra(replace(scene, labels=np.zeros_like(scene.labels)))


@pytest.mark.parametrize(
    ("places", "breaks"),
    [
        ([400, 500, 900, 950, 901, 951], [2, 4]),
        ([400, 500, 900, 900, 950, 951], [2, 3]),
        ([980, 700, 420, 2400, 1700, 950], [3]),
        ([400, 410, 420, 600, 610, 620], [3]),
        ([5, 4, 3, 2, 1], []),
    ],
)
def test_lines_are_broken_where_detectors_meet(places, breaks):
    found = gaps(np.array(places, float))
    assert found == breaks
    for part in np.split(np.array(places), found):  # no line turns back
        assert len({*np.sign(np.diff(part)).tolist()}) <= 1


def test_a_band_between_two_gaps_is_a_dot(scene):
    figure = draw_spectra(replace(scene, wavelengths_nm=np.array([400.0, 410, 420, 430, 900])))
    drawn = [line for line in figure.axes[0].lines if line.get_color() == "black"]
    assert [(len(line.get_xdata()), line.get_marker()) for line in drawn] == [(4, "None"), (1, ".")]
