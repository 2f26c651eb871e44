"""Two contestants: which runs, which test decides, and figures that agree with the runs' own scores."""

import numpy as np
import pytest

import hsi
from hsi.comparison import combine_by_rank, corrected_t_test, mcnemar, number_fields
from hsi.comparison.contestants import open_contestants
from hsi.comparison.pairs import compare_pair
from hsi.errors import RunError


def pair_of(folder, metric="oa", alpha=0.05):
    (first, second), scene = open_contestants([folder / "one", folder / "two"])
    return compare_pair(first, second, number_fields(scene.labels).ravel(), metric, alpha), first, second


def test_several_splits(make_run, tmp_path):
    """Four seeds of one, three of them of the other; more training than test pixels."""
    for seed in range(4):
        make_run(tmp_path / "one" / f"seed{seed}", seed=seed, wrong=0.1, train=0.6)
    for seed in (0, 1, 3):
        make_run(tmp_path / "two" / f"seed{seed}", seed=seed, wrong=0.3, train=0.6, draw=1, model="forest")
    pair, first, second = pair_of(tmp_path, "aa")
    assert (pair.runs, pair.splits, pair.left_out) == (3, 3, (1, 0))
    matched = [0, 1, 3]
    differences = first.values("aa")[matched] - second.values("aa")
    assert pair.differences["aa"] == pytest.approx(differences.mean())
    assert pair.over_fields.difference == pytest.approx(differences.mean())
    counts = first.results[0]
    ratio = len(counts.pixels) / counts.train_pixels
    assert pair.test_to_train == pytest.approx(ratio)
    assert ratio < 1
    expected = corrected_t_test(differences, test_to_train=ratio)
    assert (pair.over_runs.p, pair.over_runs.low) == (pytest.approx(expected.p), pytest.approx(expected.low))
    assert (pair.decided_by, pair.p, pair.p_corrected) == ("splits", pair.over_runs.p, pair.over_runs.p)
    single = [
        mcnemar(a.truth, a.predicted, b.predicted).p
        for a, b in zip([first.results[i] for i in matched], second.results, strict=True)
    ]
    assert pair.p_pixels == combine_by_rank(single)
    recall = np.mean([first.results[i].scores.recall for i in matched], axis=0)
    np.testing.assert_allclose(pair.recall_first, recall)


def test_more_test_than_training_pixels_asks_fields_and_splits(make_run, tmp_path):
    for seed in range(3):
        make_run(tmp_path / "one" / f"seed{seed}", seed=seed, wrong=0.1)
        make_run(tmp_path / "two" / f"seed{seed}", seed=seed, wrong=0.3, draw=1)
    pair, first, second = pair_of(tmp_path)
    differences = first.values("oa") - second.values("oa")
    assert pair.test_to_train > 1
    assert pair.over_runs.p == pytest.approx(corrected_t_test(differences).p)
    assert (
        pair.p_corrected
        == corrected_t_test(differences, test_to_train=pair.test_to_train).p
        > pair.over_runs.p
    )
    assert pair.decided_by == "fields and splits"
    assert pair.p == max(pair.over_runs.p, pair.over_fields.p)


def test_one_split_with_several_starts(make_run, tmp_path):
    for seed in range(3):
        make_run(tmp_path / "one" / f"seed{seed}", seed=seed, split_seed=0, wrong=0.1)
        make_run(tmp_path / "two" / f"seed{seed}", seed=seed, split_seed=0, wrong=0.3, draw=1)
    pair, first, second = pair_of(tmp_path)
    assert (pair.runs, pair.splits) == (3, 1)
    assert np.isnan(pair.test_to_train)
    assert np.isnan(pair.p_corrected)
    assert pair.over_runs.p == pytest.approx(corrected_t_test(first.values("oa") - second.values("oa")).p)
    assert (pair.decided_by, pair.p) == ("fields and starts", max(pair.over_runs.p, pair.over_fields.p))


def test_splits_of_one_mask_are_starts_not_splits(make_run, small_scene, tmp_path):
    """Seeds draw other validation pixels, and test the very same ones: no sample of test parts."""
    labels = hsi.load_scene(small_scene).labels
    odd = np.indices(labels.shape).sum(axis=0) % 3 == 0
    masks = {"train": np.where(odd, 0, labels), "test": np.where(odd, labels, 0)}
    for seed in range(3):
        make_run(tmp_path / "one" / f"seed{seed}", seed=seed, masks=masks, wrong=0.1)
        make_run(tmp_path / "two" / f"seed{seed}", seed=seed, masks=masks, wrong=0.3, draw=1)
    pair, first, second = pair_of(tmp_path)
    assert pair.splits == 3
    assert len(first.results[0].pixels) < first.results[0].train_pixels  # few enough for the correction
    assert np.isnan(pair.test_to_train)
    assert pair.over_runs.p == pytest.approx(corrected_t_test(first.values("oa") - second.values("oa")).p)
    assert (pair.decided_by, pair.p) == ("fields and starts", max(pair.over_runs.p, pair.over_fields.p))
    notes = hsi.compare(tmp_path / "one", tmp_path / "two").notes
    assert any("test the same pixels" in note for note in notes)


def test_a_split_counts_once_however_many_starts_it_has(make_run, tmp_path):
    for side, wrong in (("one", 0.1), ("two", 0.3)):
        for seed, split_seed in ((0, 0), (1, 0), (2, 0), (3, 1)):
            make_run(
                tmp_path / side / f"seed{seed}",
                seed=seed,
                split_seed=split_seed,
                wrong=wrong,
                draw=wrong > 0.2,
            )
    pair, first, second = pair_of(tmp_path)
    gain = first.values("oa") - second.values("oa")
    assert (pair.runs, pair.splits, pair.over_runs.count) == (4, 2, 2)
    assert pair.differences["oa"] == pytest.approx((gain[:3].mean() + gain[3]) / 2)
    assert pair.over_runs.mean == pytest.approx(pair.differences["oa"])
    assert pair.over_fields.difference == pytest.approx(pair.differences["oa"])


def test_one_run_each_is_decided_by_fields(make_run, tmp_path):
    make_run(tmp_path / "one", wrong=0.1)
    make_run(tmp_path / "two", wrong=0.3, draw=1)
    pair, _, _ = pair_of(tmp_path)
    assert np.isnan(pair.over_runs.p)
    assert (pair.decided_by, pair.p) == ("fields", pair.over_fields.p)
    assert pair.over_fields.fields == 9  # three stripes, each cut twice


def test_identical_runs(make_run, tmp_path):
    for seed in range(3):
        make_run(tmp_path / "one" / f"seed{seed}", seed=seed)
        make_run(tmp_path / "two" / f"seed{seed}", seed=seed)
    pair, _, _ = pair_of(tmp_path)
    assert set(pair.differences.values()) == {0}
    assert pair.over_runs.p == pair.over_fields.p == pair.p_pixels == pair.p == 1


def test_runs_that_repeat_each_other_do_not_make_certainty(make_run, tmp_path):
    """Two classifiers without any chance, three seeds on one split: one observation, not three."""
    for seed in range(3):
        for side, wrong in (("one", 0.1), ("two", 0.3)):
            folder = tmp_path / side / f"seed{seed}"
            make_run(folder, split_seed=0, wrong=wrong, draw=wrong > 0.2)
    pair, _, _ = pair_of(tmp_path)
    assert (pair.runs, pair.splits) == (3, 1)
    assert np.isnan(pair.over_runs.p)
    assert (pair.decided_by, pair.p) == ("fields", pair.over_fields.p)


def test_no_common_split(make_run, tmp_path):
    make_run(tmp_path / "one", seed=0)
    make_run(tmp_path / "two", seed=1)
    with pytest.raises(RunError, match="no run on the same train and test pixels"):
        pair_of(tmp_path)
