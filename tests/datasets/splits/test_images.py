"""Splits of several images: no patch sees two, regions are told within each, ground is not learnt twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

import hsi
from hsi.datasets.mosaic import combine_scenes
from hsi.datasets.parts import part_windows
from hsi.datasets.patches import PatchCutter
from hsi.datasets.scene import Scene
from hsi.datasets.splits.disjoint import nearest_regions
from hsi.datasets.splits.indices import Split
from hsi.errors import SplitError

PATCH = 5
SCHEMES: dict[str, dict[str, Any]] = {
    "random": {"scheme": "random", "train": 0.2, "val": 0.2},
    "paper": {"scheme": "paper", "train": 0.4, "val": 0.1},
    "per-class": {"scheme": "per-class", "per_class": 9},
    "disjoint": {"scheme": "disjoint", "train": 0.3, "val": 0.1},
    "drop": {"scheme": "disjoint", "train": 0.3, "val": 0.1, "guard": "drop"},
    "folds": {"scheme": "disjoint", "folds": 3, "fold": 1},
}


def crop(scene: Scene, rows: slice, cols: slice, **changes: Any) -> Scene:
    return replace(scene, cube=scene.cube[rows, cols], labels=scene.labels[rows, cols], **changes)


@pytest.fixture(scope="module")
def images() -> list[Scene]:
    demo = hsi.load_scene("demo")
    return [
        crop(demo, slice(0, 45), slice(0, 80), name="a"),
        crop(demo, slice(45, 85), slice(10, 104), name="b"),
        crop(demo, slice(85, 116), slice(0, 70), name="c"),
    ]


@pytest.fixture(scope="module", params=[False, True], ids=["three trained", "one tested"])
def whole(images, request) -> Scene:
    return combine_scenes(images[:2], test=images[2:]) if request.param else combine_scenes(images)


def split(scene: Scene, scheme: str, **options: Any) -> Split:
    return hsi.make_split(scene, **{"patch": PATCH, **SCHEMES[scheme], **options})


def numbers(scene: Scene) -> NDArray[np.int64]:
    """The image of each pixel, 1 for the first."""
    found = np.zeros(scene.labels.shape, np.int64)
    for number, window in enumerate(part_windows(scene.parts), start=1):
        found[window] = number
    return found


def slow_leakage(scene: Scene, made: Split, patch: int) -> tuple[float, float]:
    """Leakage by a loop over pixels, each with the pixels that its patch sees."""
    image, half = numbers(scene), patch // 2
    masks = made.regions if made.guard == "mask" else None

    def sees(pixel: int) -> set[int]:
        row, col = divmod(pixel, scene.cols)
        found = set()
        for other_row in range(row - half, row + half + 1):
            for other_col in range(col - half, col + half + 1):
                if not (0 <= other_row < scene.rows and 0 <= other_col < scene.cols):
                    continue
                here, there = (row, col), (other_row, other_col)
                if image[here] == image[there] and (masks is None or masks[here] == masks[there]):
                    found.add(other_row * scene.cols + other_col)
        return found

    seen = set().union(*(sees(int(pixel)) for pixel in made.train))
    pairs = [] if scene.same_ground is None else scene.same_ground.tolist()
    seen |= {other for one, other in pairs if one in seen} | {one for one, other in pairs if other in seen}
    test = [int(pixel) for pixel in made.test]
    centre = sum(pixel in seen for pixel in test) / len(test)
    return centre, sum(bool(sees(pixel) & seen) for pixel in test) / len(test)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_leakage_agrees_with_a_loop_over_pixels(whole, scheme):
    made = split(whole, scheme)
    for patch in (3, PATCH):
        found = made.leakage(patch)
        assert (found.centre, found.overlap) == pytest.approx(slow_leakage(whole, made, patch))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_patch_holds_a_value_of_another_image(whole, scheme):
    made = split(whole, scheme)
    image = numbers(whole)
    marked = np.where(image > 0, image, 99).astype(np.float32)[:, :, None]  # 99: beside the images
    used = np.concatenate([made.train, made.val, made.test])
    patches = PatchCutter(marked, PATCH, regions=made.patch_regions)(used).numpy().reshape(len(used), -1)
    own = image.ravel()[used][:, None]
    assert ((patches == own) | (patches == 0)).all()
    assert (patches == own).any(axis=1).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_test_scene_is_the_whole_test(images, scheme):
    whole = combine_scenes(images[:2], test=images[2:])
    made = split(whole, scheme)
    image = numbers(whole).ravel()
    assert np.array_equal(made.test, np.flatnonzero((image == 3) & (whole.labels.ravel() > 0)))
    assert not (image[np.concatenate([made.train, made.val])] == 3).any()
    found = made.leakage()
    assert (found.centre, found.overlap) == (0, 0)
    assert any("labelled ones of c" in note for note in made.notes)


@pytest.mark.parametrize("scheme", ["disjoint", "folds"])
def test_unlabelled_pixels_have_the_nearest_region_of_their_own_image(images, scheme):
    whole = combine_scenes(images)
    made = split(whole, scheme)
    assigned = np.zeros(whole.labels.shape, np.uint8)
    for subset, pixels in enumerate((made.train, made.val, made.test), start=1):
        assigned.ravel()[pixels] = subset
    assert ((assigned > 0) == (whole.labels > 0)).all()
    assert made.regions is not None
    for window in part_windows(whole.parts):
        assert np.array_equal(made.regions[window], nearest_regions(assigned[window]))


def test_dropped_pixels_keep_subsets_of_one_image_a_patch_apart(images):
    whole = combine_scenes(images)
    made = split(whole, "drop")
    image = numbers(whole).ravel()
    places = {}
    for name in ("train", "val", "test"):
        pixels = getattr(made, name)
        # Images far apart: only distances within one count.
        places[name] = np.stack([pixels // whole.cols + 1000 * image[pixels], pixels % whole.cols], axis=1)
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        assert cKDTree(places[one]).query(places[other], p=np.inf)[0].min() >= PATCH


@pytest.mark.parametrize("scheme", ["disjoint", "drop", "folds"])
def test_ground_of_two_images_is_not_learnt_in_one_and_tested_in_the_other(images, scheme):
    first, second = images[0], crop(images[0], slice(0, 45), slice(0, 80), name="again")
    whole = combine_scenes([first, second, images[1]])
    assert whole.same_ground is not None
    made = split(whole, scheme)
    assert slow_leakage(whole, made, PATCH) == (0, 0)
    assert all(count > 0 for count in made.class_counts(whole)["train"][:3])
    assert any("their ground has in an earlier scene" in note for note in made.notes)


def test_an_image_without_labels_tells_no_region(images):
    bare = replace(images[0], labels=np.zeros_like(images[0].labels))
    made = split(combine_scenes([bare, images[0], images[1]]), "disjoint")
    labelled = sum((image.labels > 0).sum() for image in images[:2])
    assert sum(made.counts.values()) == labelled


def test_ground_that_is_drawn_twice_counts_as_leakage(images):
    again = combine_scenes([images[0]], test=[images[0]])
    made = split(again, "random")
    found = made.leakage()
    assert found.overlap > 0.5
    assert (found.centre, found.overlap) == pytest.approx(slow_leakage(again, made, PATCH))


def test_a_split_of_several_images_can_be_kept_in_a_file(whole, images, tmp_path):
    made = split(whole, "disjoint")
    made.save(tmp_path / "split.npz")
    read = Split.load(tmp_path / "split.npz")
    read.check(whole)
    for name in ("train", "val", "test", "regions", "parts", "patch_regions"):
        assert np.array_equal(getattr(read, name), getattr(made, name)), name
    assert read.leakage() == made.leakage()
    with pytest.raises(SplitError, match="another label map"):
        read.check(combine_scenes(images[::-1]))


def test_one_image_of_a_combined_scene_is_split_as_the_scene_itself(images):
    for scheme in SCHEMES:
        one, other = split(images[0], scheme), split(combine_scenes(images[:1]), scheme)
        assert other.parts is None
        for name in ("train", "val", "test", "regions", "notes", "labels_sha256"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), (scheme, name)


def test_a_patch_wider_than_one_image_is_refused_by_its_name(images):
    narrow = crop(images[1], slice(0, 40), slice(0, 4), name="narrow")
    with pytest.raises(SplitError, match="wider than narrow"):
        hsi.make_split(combine_scenes([images[0], narrow]), scheme="random", patch=PATCH)
