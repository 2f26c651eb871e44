"""The stratified estimator against the worked examples of its papers, and a slow computation."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hsi.areas
from hsi.areas import estimate_areas, estimate_from_units, stratified_sample
from hsi.errors import InputError

# Olofsson et al. 2014, table 8: map classes as rows; 10 million pixels of 30 m.
NAMES = ("deforestation", "forest gain", "stable forest", "stable non-forest")
MATRIX = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
PIXELS = [200_000, 150_000, 3_200_000, 6_450_000]


@pytest.fixture
def paper():
    return estimate_areas(MATRIX, PIXELS, NAMES, interval="normal", finite_population=False, pixel_area=900.0)


def test_areas_of_the_example_of_olofsson_2014(paper):
    """Hectares, with half the width of 95 % intervals, as that paper is quoted."""
    printed = [(21_158, 6_158), (11_686, 3_756), (285_770, 15_510), (581_386, 16_282)]
    for number, (hectares, half) in enumerate(printed, start=1):
        area = paper.area(number, "ha")
        assert area.value == pytest.approx(hectares, abs=1)
        assert (area.high - area.low) / 2 == pytest.approx(half, abs=1)
        assert area.standard_error * 1.96 == pytest.approx(half, abs=1)
    assert paper.area(1).value == paper.area(1, "ha").value
    assert paper.area(1, "km2").value == pytest.approx(211.58, abs=0.01)
    assert paper.area(1, "m2").value == pytest.approx(paper.area(1, "pixels").value * 900)


def test_accuracies_of_the_example_of_olofsson_2014(paper):
    """Two decimals, with half the width of 95 % intervals; `slow` has the same terms, one by one."""
    users = [(0.88, 0.07), (0.73, 0.10), (0.93, 0.04), (0.96, 0.02)]
    producers = [(0.75, 0.21), (0.85, 0.25), (0.93, 0.03), (0.96, 0.02)]
    for one, user, producer in zip(paper.classes, users, producers, strict=True):
        for found, (value, half) in ((one.users_accuracy, user), (one.producers_accuracy, producer)):
            assert found.value == pytest.approx(value, abs=0.005)
            assert 1.96 * found.standard_error == pytest.approx(half, abs=0.005)
    assert paper.overall_accuracy.value == pytest.approx(0.95, abs=0.005)
    assert 1.96 * paper.overall_accuracy.standard_error == pytest.approx(0.02, abs=0.005)
    assert [one.mapped_units for one in paper.classes] == [75, 75, 165, 325]
    assert [one.reference_units for one in paper.classes] == [69, 56, 175, 340]


def test_the_example_of_stehman_2014():
    """Four strata of 10 units, which are not the classes of the map; numbers as printed there."""
    strata = "A" * 10 + "B" * 10 + "C" * 10 + "D" * 10
    mapped = "A" * 7 + "B" * 3 + "A" + "B" * 11 + "C" * 6 + "BB" + "D" * 10
    truth = "AAAAACBABCA" + "B" * 5 + "AABB" + "C" * 5 + "DDBBA" + "D" * 7 + "CCB"
    number = {letter: at for at, letter in enumerate("ABCD", start=1)}
    made = estimate_from_units(
        *([number[letter] for letter in letters] for letters in (strata, mapped, truth)),
        {1: 40_000, 2: 30_000, 3: 20_000, 4: 10_000},
        [0, 0, 0, 0],
        "ABCD",
        interval="normal",
    )
    shares = [one.proportion for one in made.classes]
    assert shares[0].value == pytest.approx(0.35, abs=1e-12)
    assert shares[2].value == pytest.approx(0.20, abs=1e-12)
    assert shares[0].standard_error == pytest.approx(0.082, abs=5e-4)
    assert shares[2].standard_error == pytest.approx(0.064, abs=5e-4)
    assert made.overall_accuracy.value == pytest.approx(0.63, abs=1e-12)
    assert made.overall_accuracy.standard_error == pytest.approx(0.085, abs=5e-4)
    of_b = made.classes[1]
    assert of_b.users_accuracy.value == pytest.approx(0.574, abs=5e-4)
    assert of_b.producers_accuracy.value == pytest.approx(0.794, abs=5e-4)
    assert of_b.users_accuracy.standard_error == pytest.approx(0.125, abs=5e-4)
    assert of_b.producers_accuracy.standard_error == pytest.approx(0.116, abs=1e-3)


def slow(matrix, pixels, finite):
    """Equations 1 to 10 of Olofsson et al. 2014, one term after the other, exact until the roots."""
    classes = range(len(matrix))
    whole = sum(pixels)
    weight = [Fraction(n, whole) for n in pixels]
    units = [sum(row) for row in matrix]
    left = [1 - Fraction(units[i], pixels[i]) if finite else Fraction(1) for i in classes]
    p = [[weight[i] * Fraction(matrix[i][j], units[i]) for j in classes] for i in classes]
    users = [p[i][i] / sum(p[i]) for i in classes]
    areas = [sum(p[i][j] for i in classes) for j in classes]
    overall = sum(p[i][i] for i in classes)

    def spread(i, share):
        return left[i] * share * (1 - share) / (units[i] - 1)

    out = {"oa": (overall, sum(weight[i] ** 2 * spread(i, users[i]) for i in classes))}
    for j in classes:
        shares = [Fraction(matrix[i][j], units[i]) for i in classes]
        out["area", j] = areas[j], sum(weight[i] ** 2 * spread(i, shares[i]) for i in classes)
        out["user", j] = users[j], spread(j, users[j])
        if areas[j]:
            found = p[j][j] / areas[j]
            total = sum(Fraction(pixels[i], units[i]) * matrix[i][j] for i in classes)
            own = pixels[j] ** 2 * (1 - found) ** 2 * spread(j, users[j])
            others = sum(pixels[i] ** 2 * spread(i, shares[i]) for i in classes if i != j)
            out["producer", j] = found, (own + found**2 * others) / total**2
    return {key: (float(value), math.sqrt(variance)) for key, (value, variance) in out.items()}


@st.composite
def samples(draw):
    classes = draw(st.integers(2, 5))
    row = st.lists(st.integers(0, 30), min_size=classes, max_size=classes)
    matrix = [draw(row.filter(lambda units: sum(units) > 1)) for _ in range(classes)]
    return matrix, [sum(units) + draw(st.integers(0, 10**6)) for units in matrix]


@settings(max_examples=60, deadline=None)
@given(samples(), st.booleans())
def test_any_error_matrix_gives_the_equations_of_the_paper(sample, finite):
    matrix, pixels = sample
    made = estimate_areas(matrix, pixels, interval="normal", finite_population=finite)
    wanted = slow(matrix, pixels, finite)

    def same(found, key):
        if key not in wanted:
            assert found is None
            return
        value, error = wanted[key]
        assert found.value == pytest.approx(value, abs=1e-12)
        assert found.standard_error == pytest.approx(error, abs=1e-9)
        assert 0 <= found.low <= found.value <= found.high <= 1

    same(made.overall_accuracy, "oa")
    for number, one in enumerate(made.classes):
        same(one.proportion, ("area", number))
        same(one.users_accuracy, ("user", number))
        same(one.producers_accuracy, ("producer", number))
    assert sum(one.proportion.value for one in made.classes) == pytest.approx(1)


@settings(max_examples=15, deadline=None)
@given(samples(), st.booleans())
def test_posterior_intervals_hold_their_estimates(sample, finite):
    matrix, pixels = sample
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stratified_sample, "DRAWS", 200)
        made = estimate_areas(matrix, pixels, finite_population=finite)
    found = [made.overall_accuracy]
    for one in made.classes:
        found += [one.proportion, one.users_accuracy, one.producers_accuracy]
    assert all(one is None or 0 <= one.low <= one.value <= one.high <= 1 for one in found)


def test_a_map_seen_whole_is_known():
    matrix, pixels = [[30, 2], [1, 7]], [32, 8]
    made = estimate_areas(matrix, pixels)
    assert [round(40 * one.proportion.value, 9) for one in made.classes] == [31, 9]
    for one in (made.overall_accuracy, *(one.proportion for one in made.classes)):
        assert one.standard_error == pytest.approx(0, abs=1e-9)
        assert one.high - one.low == pytest.approx(0, abs=1e-9)


def test_a_stratum_without_a_unit_is_left_out_and_said():
    made = estimate_areas([[40, 0, 0], [5, 45, 0], [0, 0, 0]], [4_000, 5_000, 1_000], ["a", "b", "c"])
    assert made.pixels == 9_000
    assert made.left_out == 1_000
    assert sum(one.proportion.value for one in made.classes) == pytest.approx(1)
    assert made.classes[2].users_accuracy is None
    assert made.classes[2].producers_accuracy is None
    assert any("No sample unit lies in 'c' (1,000 pixels)" in note and "10 %" in note for note in made.notes)
    assert any("'c' on the ground" in note for note in made.notes)


def test_a_class_that_is_nowhere_on_the_map_needs_no_unit():
    made = estimate_areas([[40, 0, 1], [5, 45, 0], [0, 0, 0]], [4_000, 5_000, 0], ["a", "b", "c"])
    assert made.left_out == 0
    assert not any("No sample unit lies in" in note for note in made.notes)
    assert made.classes[2].proportion.value == pytest.approx(4_000 / 41 / 9_000)
    assert made.classes[2].producers_accuracy.value == 0


def test_a_stratum_with_one_unit_counts_with_its_distance_to_the_mean():
    made = estimate_areas([[40, 10], [0, 1]], [9_000, 1_000], ["a", "b"], interval="normal")
    share = made.classes[1].proportion
    assert share.value == pytest.approx(0.9 * 0.2 + 0.1)
    within = 0.9**2 * (1 - 50 / 9_000) * 0.2 * 0.8 / 49
    single = 0.1**2 * (1 - 1 / 1_000) * (1 - share.value) ** 2
    assert share.standard_error == pytest.approx(math.sqrt(within + single))
    assert any("'b' has a single sample unit" in note for note in made.notes)


def test_pixels_that_are_not_recognised_are_a_stratum_of_their_own():
    matrix = [[45, 5], [4, 46], [10, 30]]
    made = estimate_areas(matrix, [5_000, 4_000, 1_000], ["a", "b"])
    assert made.not_recognised == 1_000
    assert made.pixels == 10_000
    shares = [one.proportion.value for one in made.classes]
    assert shares == pytest.approx([0.5 * 0.9 + 0.4 * 0.08 + 0.1 * 0.25, 0.5 * 0.1 + 0.4 * 0.92 + 0.1 * 0.75])
    # They have no class that could be right or wrong, but what they hide is missing from the map.
    assert made.overall_accuracy.value == pytest.approx((0.5 * 0.9 + 0.4 * 0.92) / 0.9)
    assert made.classes[0].producers_accuracy.value == pytest.approx(0.5 * 0.9 / shares[0])


def test_ground_that_is_none_of_the_classes_has_an_area():
    made = estimate_areas([[45, 3, 2], [4, 46, 0]], [5_000, 5_000], ["a", "b"])
    assert [one.name for one in made.classes] == ["a", "b", "other"]
    other = made.classes[2]
    assert other.proportion.value == pytest.approx(0.02)
    assert (other.mapped_pixels, other.users_accuracy, other.producers_accuracy) == (0, None, None)
    assert made.overall_accuracy.value == pytest.approx(0.91)


def test_single_units_and_their_matrix_give_the_same():
    rows, columns = np.nonzero(np.array(MATRIX))
    times = np.array(MATRIX)[rows, columns]
    mapped, truth = np.repeat(rows, times) + 1, np.repeat(columns, times) + 1
    sizes = dict(enumerate(PIXELS, start=1))
    one = estimate_from_units(mapped, mapped, truth, sizes, PIXELS, NAMES)
    assert one == estimate_areas(MATRIX, PIXELS, NAMES)


def test_values_for_json(paper):
    told = paper.as_dict()
    assert told["unit"] == "ha"
    assert told["classes"][0]["area"]["value"] == pytest.approx(21_158, abs=1)
    assert told["classes"][0]["mapped_area"] == pytest.approx(18_000)
    assert told["pixels"] == 10_000_000
    assert estimate_areas(MATRIX, PIXELS).as_dict()["unit"] == "pixels"


@pytest.mark.parametrize(
    ("matrix", "pixels", "options", "words"),
    [
        ([[1.5, 2], [3, 4]], [10, 10], {}, "whole numbers"),
        ([[1, -2], [3, 4]], [10, 10], {}, "whole numbers"),
        ([1, 2], [10, 10], {}, "whole numbers"),
        ([[1, 2], [3, 4]], [10], {}, "2 whole numbers"),
        ([[1, 2], [3, 4]], [10, -10], {}, "2 whole numbers"),
        ([[1, 2], [3, 4], [5, 6], [7, 8]], [10, 10, 10, 20], {}, "2 or 3 rows"),
        ([[1, 2], [3, 4]], [10, 5], {}, "has 5 pixels"),
        ([[0, 0], [0, 0]], [10, 10], {}, "no sample unit"),
        ([[1, 2], [3, 4]], [10, 10], {"interval": "wald"}, "Unknown interval"),
        ([[1, 2], [3, 4]], [10, 10], {"confidence_level": 95}, "between 0 and 1"),
    ],
)
def test_input_that_makes_no_sense_is_refused(matrix, pixels, options, words):
    with pytest.raises(InputError, match=words):
        estimate_areas(matrix, pixels, **options)


def test_units_that_make_no_sense_are_refused(paper):
    with pytest.raises(InputError, match="Unknown unit 'acre'"):
        paper.area(1, "acre")
    with pytest.raises(InputError, match="--pixel-size"):
        estimate_areas(MATRIX, PIXELS).area(1, "ha")
    with pytest.raises(InputError, match="stratum whose number"):
        estimate_from_units([3], [1], [1], {1: 10}, [10], ["a"])
    with pytest.raises(InputError, match="outside 1 to 2"):
        estimate_from_units([1], [1], [3], {1: 10}, [10], ["a"])
    with pytest.raises(InputError, match="one number for each"):
        estimate_from_units([1, 1], [1], [1], {1: 10}, [10], ["a"])


def test_names_are_public():
    assert all(getattr(hsi.areas, name) is not None for name in hsi.areas.__all__)
