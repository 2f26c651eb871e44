"""The field test against every exchange written out, pixel by pixel, and by simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage, stats

import hsi
from hsi.comparison import PairedPixels, corrected_t_test, field_test, mcnemar, number_fields
from hsi.errors import InputError

CLASSES = 3


def slow_field_test(pairs, metric):
    """Exchange the predictions themselves, in all fields that matter or not, and score anew."""

    def difference(exchanged):
        total = 0.0
        for pair in pairs:
            swap = np.isin(pair.field, exchanged)
            first = np.where(swap, pair.second, pair.first)
            second = np.where(swap, pair.first, pair.second)
            scores = [getattr(hsi.score(pair.truth, made, CLASSES), metric) for made in (first, second)]
            total += pair.weight * (scores[0] - scores[1])
        return total

    fields = sorted({int(f) for pair in pairs for f in pair.field})
    every = [
        difference(chosen) for n in range(len(fields) + 1) for chosen in itertools.combinations(fields, n)
    ]
    real = difference(())
    above, below = (np.mean(np.array(every) * sign >= real * sign - 1e-10) for sign in (1, -1))
    return real, min(1.0, 2 * min(above, below))


@st.composite
def paired_pixels(draw):
    pixels = draw(st.integers(1, 25))

    def of(low, high):
        return draw(arrays(np.int64, pixels, elements=st.integers(low, high)))

    return PairedPixels(
        of(0, 4), of(1, CLASSES), of(1, CLASSES), of(1, CLASSES), draw(st.sampled_from([0.5, 1.0]))
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(paired_pixels(), min_size=1, max_size=2), st.sampled_from(["oa", "aa", "kappa", "kappa"]))
def test_it_is_every_exchange(pairs, metric):
    real, p = slow_field_test(pairs, metric)
    found = field_test(pairs, CLASSES, metric)
    assert found.difference == pytest.approx(real, abs=1e-12, nan_ok=True)
    assert found.p == pytest.approx(np.nan if np.isnan(real) else p, nan_ok=True)
    assert found.fields == len({int(f) for pair in pairs for f in pair.field})
    assert found.differing <= found.fields
    assert not found.p < found.smallest - 1e-12


def test_kappa_without_meaning_gives_no_p():
    ones = np.ones(4, np.int64)
    found = field_test([PairedPixels(np.arange(4), ones, ones, np.array([1, 1, 2, 3]))], CLASSES, "kappa")
    assert np.isnan(found.difference)
    assert np.isnan(found.p)


def test_the_same_predictions_show_nothing():
    ones = np.ones(4, np.int64)
    found = field_test([PairedPixels(np.arange(4), ones, ones, ones)], CLASSES)
    assert (found.difference, found.p, found.fields, found.differing) == (0, 1, 4, 0)


def test_many_fields_by_draws():
    """40 fields of one pixel are 40 independent pixels: then it is McNemar's test, but for the draws."""
    truth = np.ones(40, np.int64)
    first = np.where(np.arange(40) < 14, 2, 1)
    second = np.where(np.arange(40) >= 35, 2, 1)
    found = field_test([PairedPixels(np.arange(40), truth, first, second)], CLASSES)
    exact = mcnemar(truth, first, second).p
    assert found.differing == 19
    assert found.p == pytest.approx(exact, abs=4 * np.sqrt(exact / 9999))
    again = field_test([PairedPixels(np.arange(40), truth, first, second)], CLASSES)
    assert again.p == found.p


def test_fields_are_connected_patches_of_a_class():
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, (30, 25))
    found = number_fields(labels)
    assert ((found >= 0) == (labels > 0)).all()
    count = 0
    for number in (1, 2, 3):
        numbered, many = ndimage.label(labels == number, np.ones((3, 3)))
        pairs = {tuple(pair) for pair in np.stack([numbered, found])[:, labels == number].T.tolist()}
        assert len(pairs) == many  # one number each
        count += many
    assert sorted(np.unique(found[found >= 0])) == list(range(count))


def test_it_holds_its_level_where_neighbours_agree_and_mcnemar_does_not():
    """Ten fields of 30 pixels; in each, one network is right and the other wrong, by a fair coin."""
    random = np.random.default_rng(0)
    field, truth = np.repeat(np.arange(10), 30), np.ones(300, np.int64)
    worlds, by_field, by_pixel = 100, 0, 0
    for _ in range(worlds):
        coin = np.repeat(random.random(10) < 0.5, 30)
        first, second = np.where(coin, 1, 2), np.where(coin, 2, 1)
        by_field += field_test([PairedPixels(field, truth, first, second)], CLASSES).p <= 0.05
        by_pixel += mcnemar(truth, first, second).p <= 0.05
    assert by_pixel / worlds > 0.5
    assert by_field / worlds < 0.05 + 3 * np.sqrt(0.05 * 0.95 / worlds)


def test_with_the_plain_t_test_it_holds_its_level_over_splits_with_little_training():
    """Splits that test on 10 of 12 fields agree on chance; both tests together do not fall for it."""
    random = np.random.default_rng(1)
    worlds, plain, both, level = 120, 0, 0, 0.05
    truth = np.ones(10 * 20, np.int64)
    for _ in range(worlds):
        right = random.binomial(
            20, random.beta(4, 4, (2, 12))
        )  # of 20 pixels in each field, for each network
        pairs, differences = [], []
        for _ in range(6):
            fields = np.sort(random.permutation(12)[:10])
            made = [
                np.concatenate([np.where(np.arange(20) < n, 1, 2) for n in right[side, fields]])
                for side in (0, 1)
            ]
            pairs.append(PairedPixels(np.repeat(fields, 20), truth, *made, 1 / 6))
            differences.append(np.mean(made[0] == 1) - np.mean(made[1] == 1))
        p = corrected_t_test(differences).p
        plain += p <= level
        both += max(p, field_test(pairs, CLASSES).p) <= level
    assert plain / worlds > 0.3
    assert stats.binomtest(both, worlds, level, alternative="greater").pvalue > 0.001


def test_bad_input():
    ones = np.ones(2, np.int64)
    with pytest.raises(InputError, match="Unknown metric 'f1'"):
        field_test([PairedPixels(ones, ones, ones, ones)], CLASSES, "f1")
    for empty in ([], [PairedPixels(ones[:0], ones[:0], ones[:0], ones[:0])]):
        with pytest.raises(InputError, match="needs test pixels"):
            field_test(empty, CLASSES)
