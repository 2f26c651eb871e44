"""The generated scene: reproducible, plausible, hard enough for methods to differ; its material spectra."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from hsi.datasets import demo
from hsi.datasets.demo import make_demo_scene
from hsi.datasets.scene import Scene

CUBE_SHA256 = "0d83bf2f36d7daf0d53649544e433662599cd79baf789e70ec2082ccbfc9762a"
LABELS_SHA256 = "7134033f2671bab929b5c58d029daa648b992f404d940083a384bd3458e879d4"


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_demo_scene()


@pytest.fixture(scope="module")
def fields(scene: Scene) -> np.ndarray:
    """Number of the connected field of each labelled pixel, flat; 0 where there is no label."""
    numbers = np.zeros(scene.labels.shape, np.int64)
    for label in range(1, scene.classes + 1):
        found, _ = ndimage.label(scene.labels == label)
        numbers[found > 0] = found[found > 0] + numbers.max()
    return numbers.ravel()


def test_it_is_always_the_same(scene: Scene) -> None:
    assert hashlib.sha256(scene.cube.astype("<u2").tobytes()).hexdigest() == CUBE_SHA256
    assert hashlib.sha256(scene.labels.astype("<i8").tobytes()).hexdigest() == LABELS_SHA256
    np.testing.assert_array_equal(make_demo_scene().cube, scene.cube)


def test_it_is_marked_as_synthetic(scene: Scene) -> None:
    assert scene.name == "demo"
    assert scene.synthetic
    assert "synthetic" in scene.title
    assert any("generated" in note for note in scene.notes)
    assert scene.cube.shape == (116, 104, 64)  # not square, so that swapped axes show
    assert scene.cube.dtype == np.uint16
    assert scene.labels.shape == (116, 104)
    assert scene.labels.dtype == np.int64
    assert scene.wavelengths_nm is not None
    assert scene.wavelengths_nm[[0, -1]].tolist() == [400.0, 2500.0]
    assert len(scene.class_names) == len(set(scene.class_names)) == len(scene.colors) == scene.classes == 9
    assert scene.label_codes == tuple(range(1, 10))


@pytest.mark.parametrize("vision", ["normal", "deuteranopia", "protanopia"])
def test_colours_can_be_told_apart_also_from_black(scene: Scene, closest_pair, vision: str) -> None:
    assert closest_pair(("#000000", *scene.colors), vision) > 22
    with_old_green = ("#000000", "#009e73", "#d1276b")  # what deuteranopia confuses
    assert closest_pair(with_old_green, "deuteranopia") < 15


def test_labels_look_like_a_survey(scene: Scene, fields: np.ndarray) -> None:
    assert 0.4 < np.mean(scene.labels > 0) < 0.5
    counts = np.array(scene.counts)
    assert 30 <= counts.min() <= 60
    assert counts.max() > 20 * counts.min()
    for label in range(1, 10):
        sizes = np.bincount(fields[scene.labels.ravel() == label])
        assert np.count_nonzero(sizes >= 4) >= 4, scene.class_names[label - 1]
    # Fields do not touch: no 3x3 window (roads and houses aside) holds two classes.
    narrow = [scene.class_names.index(name) + 1 for name in ("Asphalt", "Roof tiles")]
    wide = np.where(np.isin(scene.labels, narrow), 0, scene.labels)
    low = ndimage.minimum_filter(np.where(wide > 0, wide, 99), 3)
    high = ndimage.maximum_filter(wide, 3)
    assert (low[wide > 0] == high[wide > 0]).all()


def test_spectra_are_plausible(scene: Scene) -> None:
    assert scene.wavelengths_nm is not None
    bands = {nm: int(np.abs(scene.wavelengths_nm - nm).argmin()) for nm in (660, 860, 1380, 1650, 1880, 2200)}
    mean = {
        name: scene.cube[scene.labels == label].mean(axis=0)
        for label, name in enumerate(scene.class_names, start=1)
    }
    for name, spectrum in mean.items():
        ndvi = (spectrum[bands[860]] - spectrum[bands[660]]) / (spectrum[bands[860]] + spectrum[bands[660]])
        low, high = {
            "Corn": (0.4, 0.8), "Soybean": (0.4, 0.8), "Meadow": (0.4, 0.8), "Woodland": (0.6, 0.95),
            "Wheat": (0.2, 0.5), "Bare soil": (0.0, 0.4), "Water": (-1.0, 0.0),
        }.get(name, (-0.2, 0.5))  # fmt: skip
        assert low < ndvi < high, (name, ndvi)
    # Bands in which water vapour leaves little light are noisy: neighbours within fields differ more.
    same = scene.labels[:, 1:] == scene.labels[:, :-1]
    same &= scene.labels[:, 1:] == scene.class_names.index("Bare soil") + 1
    steps = np.diff(scene.cube.astype(np.float64), axis=1)[same].std(axis=0) / mean["Bare soil"]
    for vapour in (1380, 1880):
        assert steps[bands[vapour]] > 3 * max(steps[bands[1650]], steps[bands[2200]])
    assert np.unique(scene.cube).size > 3000
    assert scene.cube.max() < 10_000


def accuracy(features: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    scaler = StandardScaler().fit(features[train])
    svm = SVC(C=100).fit(scaler.transform(features[train]), labels[train])
    return float(np.mean(svm.predict(scaler.transform(features[test])) == labels[test]))


def some_of_each(pixels: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a tenth of the scene's pixels of each class, from `pixels`."""
    drawn = []
    for label in range(1, 10):
        count = int(0.1 * np.count_nonzero(labels == label))
        drawn.append(rng.permutation(pixels[labels[pixels] == label])[:count])
    return np.concatenate(drawn)


def test_it_is_hard_enough_for_methods_to_differ(scene: Scene, fields: np.ndarray) -> None:
    labels = scene.labels.ravel()
    cube = scene.cube.astype(np.float64)
    spectra = cube.reshape(labels.size, -1)
    means = ndimage.uniform_filter(cube, (5, 5, 1)).reshape(labels.size, -1)
    rng = np.random.default_rng(0)

    train = some_of_each(scene.labelled, labels, rng)
    test = np.setdiff1d(scene.labelled, train)
    pixelwise = accuracy(spectra, labels, train, test)
    with_neighbours = accuracy(np.hstack([spectra, means]), labels, train, test)
    assert 0.75 < pixelwise < 0.88
    assert with_neighbours > pixelwise + 0.05

    seen: list[int] = []  # two fifths of each class, as whole fields
    for label in range(1, 10):
        numbers = rng.permutation(np.unique(fields[labels == label]))
        sizes = np.cumsum([np.count_nonzero(fields == number) for number in numbers])
        seen += numbers[: max(1, int(np.count_nonzero(sizes < 0.4 * sizes[-1])))].tolist()
    inside = scene.labelled[np.isin(fields[scene.labelled], seen)]
    train = some_of_each(inside, labels, rng)
    elsewhere = np.setdiff1d(scene.labelled, inside)
    assert set(labels[elsewhere]) == set(labels[train]) == set(range(1, 10))
    assert 0.4 < accuracy(spectra, labels, train, elsewhere) < pixelwise - 0.08


NM = np.arange(400.0, 2501.0, 10.0)


def at(spectrum: np.ndarray, nm: float) -> float:
    return float(np.interp(nm, NM, spectrum))


def ndvi(spectrum: np.ndarray) -> float:
    red, infrared = at(spectrum, 660), at(spectrum, 860)
    return (infrared - red) / (infrared + red)


def test_vegetation_index_orders_the_materials() -> None:
    leaf, straw, ground = demo.green_leaf(NM), demo.dry_plant(NM), demo.soil(NM)
    assert ndvi(leaf) > 0.75 > 0.35 > ndvi(straw) > 0.1
    assert 0.35 > ndvi(ground) > 0
    assert ndvi(demo.open_water(NM)) < 0


def test_absorption_features_are_at_their_wavelengths() -> None:
    leaf = demo.green_leaf(NM)
    assert at(leaf, 552) > 1.4 * max(at(leaf, 470), at(leaf, 660))  # green peak
    assert at(leaf, 1450) < 0.7 * at(leaf, 1650)  # liquid water
    assert at(leaf, 1940) < 0.5 * at(leaf, 1650)
    slope = np.diff(demo.green_leaf(NM, edge=712.0))
    assert abs(NM[slope.argmax()] + 5 - 712) <= 10
    for spectrum, dip, sides in (
        (demo.dry_plant(NM), 2100, (2030, 2200)),
        (demo.soil(NM, clay=1.0, moisture=0.0), 2205, (2130, 2270)),
        (demo.asphalt(NM, age=0.0), 1720, (1650, 1800)),
        (demo.roof_tile(NM), 870, (760, 1020)),
    ):
        assert at(spectrum, dip) < 0.97 * np.mean([at(spectrum, side) for side in sides])


def test_moisture_and_age_darken_or_brighten() -> None:
    assert (demo.soil(NM, moisture=0.5) < demo.soil(NM, moisture=0.1)).all()
    assert (demo.asphalt(NM, age=0.9) > demo.asphalt(NM, age=0.1)).all()
    turbid, clear = demo.open_water(NM, turbidity=0.8), demo.open_water(NM, turbidity=0.1)
    assert at(turbid, 585) > 1.5 * at(clear, 585)


def test_water_vapour_is_strongest_at_1380_and_1880_nm() -> None:
    vapour = demo.water_vapour(NM)
    assert set(NM[vapour > 0.9]) <= set(
        np.concatenate([NM[(NM > 1350) & (NM < 1410)], NM[(NM > 1840) & (NM < 1920)]])
    )
    assert at(vapour, 1380) > 0.95
    assert at(vapour, 1880) > 0.95
    assert at(vapour, 1650) < 0.01


@settings(max_examples=25, deadline=None)
@given(a=st.floats(0, 1), b=st.floats(0, 1), c=st.floats(0, 1))
def test_spectra_are_reflectances_in_steps_of_2_to_the_minus_16(a: float, b: float, c: float) -> None:
    for spectrum in (
        demo.green_leaf(NM, chlorophyll=2 * a, water=1.2 * b, structure=0.3 + 0.3 * c),
        demo.dry_plant(NM, brightness=0.2 + 0.3 * a, age=b),
        demo.soil(NM, brightness=0.1 + 0.3 * a, moisture=b, iron=c, clay=a),
        demo.open_water(NM, turbidity=a),
        demo.asphalt(NM, age=a),
        demo.roof_tile(NM, redness=a),
        demo.water_vapour(NM),
    ):
        assert spectrum.min() >= 0
        assert spectrum.max() <= 1
        np.testing.assert_array_equal(spectrum * 65536, np.round(spectrum * 65536))
