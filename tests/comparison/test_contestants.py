"""Contestants: which runs may be compared, and how runs are matched by split and seed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.comparison.contestants import match_runs, open_contestants
from hsi.errors import ConfigError, HsiError, RunError


def test_a_group_is_one_contestant_with_its_mean_and_sample_spread(make_run, tmp_path):
    for seed in (0, 1, 2):
        make_run(tmp_path / "many" / f"seed{seed}", seed=seed, wrong=0.1 * (seed + 1))
    alone = make_run(tmp_path / "alone", model="forest")
    (many, one), scene = open_contestants([tmp_path / "many", tmp_path / "alone"])
    assert scene.name == "small"
    assert (many.letter, many.model, one.letter, one.model) == ("A", "svm", "B", "forest")
    values = [
        json.loads((tmp_path / "many" / f"seed{s}" / "metrics.json").read_text())["test"]["aa"]
        for s in range(3)
    ]
    assert many.mean("aa") == pytest.approx(np.mean(values))
    assert many.std("aa") == pytest.approx(np.sqrt(np.sum((values - np.mean(values)) ** 2) / 2))
    assert one.mean("kappa") == alone.scores["test"].kappa
    assert np.isnan(one.std("kappa"))
    assert one.leakage("overlap") == alone.metrics["leakage"]["overlap"]
    result = one.results[0]
    assert np.mean(result.truth == result.predicted) == pytest.approx(one.mean("oa"))


def test_the_split_id_tells_splits_apart(make_run, tmp_path):
    make_run(tmp_path / "a", seed=0)
    make_run(tmp_path / "b", seed=1)
    make_run(tmp_path / "c", seed=5, split_seed=0)
    ids = [c.results[0].split_id for c in open_contestants([tmp_path / n for n in "abc"])[0]]
    assert ids[0] == ids[2] != ids[1]


def test_the_same_training_pixels_with_other_test_pixels_are_another_split(make_run, tmp_path):
    one, two = make_run(tmp_path / "a"), make_run(tmp_path / "b", val=0.4)
    np.testing.assert_array_equal(one.split.train, two.split.train)
    first, second = open_contestants([tmp_path / "a", tmp_path / "b"])[0]
    assert first.results[0].split_id != second.results[0].split_id


def test_more_than_26_letters(make_run, tmp_path):
    for number in range(28):
        make_run(tmp_path / str(number))
    letters = [c.letter for c in open_contestants([tmp_path / str(n) for n in range(28)])[0]]
    assert letters[:2] == ["A", "B"]
    assert letters[25:] == ["Z", "A2", "B2"]


def refused(error, words, *paths):
    with pytest.raises(error, match=words) as caught:
        open_contestants(list(paths))
    assert isinstance(caught.value, HsiError)
    assert caught.value.exit_status == 2
    assert "\n" not in str(caught.value)


def test_what_cannot_be_compared(make_run, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    make_run(a)
    refused(ConfigError, "at least two", a)
    refused(ConfigError, "given twice", a, tmp_path / "." / "a")
    refused(RunError, "not a run folder", a, tmp_path / "missing")
    make_run(b)
    metrics = (b / "metrics.json").read_text()
    (b / "metrics.json").unlink()
    refused(RunError, "not finished", a, b)
    wrong = json.loads(metrics)
    wrong["test"]["confusion"][0][0] += 1
    (b / "metrics.json").write_text(json.dumps(wrong))
    refused(RunError, "do not give the scores", a, b)
    (b / "metrics.json").write_text(metrics)
    (b / "predictions.npz").unlink()
    refused(RunError, "no predictions.npz", a, b)


def test_a_run_inside_a_group_is_not_its_own_rival(make_run, tmp_path):
    make_run(tmp_path / "many" / "seed0")
    refused(ConfigError, "given twice", tmp_path / "many", tmp_path / "many" / "seed0")


def test_a_contestant_is_one_network(make_run, tmp_path):
    make_run(tmp_path / "a")
    make_run(tmp_path / "mixed" / "seed0", model="svm")
    make_run(tmp_path / "mixed" / "seed1", model="forest", seed=1)
    refused(RunError, "mixes runs with model = 'svm' and 'forest'", tmp_path / "a", tmp_path / "mixed")


def test_a_contestant_is_trained_in_one_way(make_run, tmp_path):
    make_run(tmp_path / "a")
    make_run(tmp_path / "mixed" / "seed0", lr=0.001, device="cpu")
    make_run(tmp_path / "mixed" / "seed1", lr=0.01, seed=1)
    refused(RunError, "mixes runs with lr = 0.001 and 0.01", tmp_path / "a", tmp_path / "mixed")
    make_run(tmp_path / "moved" / "seed0", device="cpu")
    make_run(tmp_path / "moved" / "seed1", seed=1)
    assert len(open_contestants([tmp_path / "a", tmp_path / "moved"])[0][1].results) == 2


def test_another_label_map(make_run, tmp_path):
    make_run(tmp_path / "a")
    make_run(tmp_path / "b")
    with np.load(tmp_path / "b" / "split.npz") as file:
        arrays = dict(file)
    about = json.loads(str(arrays["about"]))
    about["labels_sha256"] = "0" * 64
    np.savez(tmp_path / "b" / "split.npz", **{**arrays, "about": np.array(json.dumps(about))})
    refused(RunError, "different label maps", tmp_path / "a", tmp_path / "b")


def runs(*pairs):
    return [SimpleNamespace(split_id=split, seed=seed) for split, seed in pairs]


def shown(matches):
    return {split: [(one.seed, two.seed) for one, two in pairs] for split, pairs in matches.items()}


def test_only_the_same_split_is_paired():
    assert shown(match_runs(runs(("a", 0), ("b", 1)), runs(("b", 1), ("c", 2)))) == {"b": [(1, 1)]}
    assert match_runs(runs(("a", 0)), runs(("b", 0))) == {}


def test_on_one_split_the_same_seeds_go_together_then_the_rest_in_order():
    first = runs(("a", 3), ("a", 1), ("a", 0))
    assert shown(match_runs(first, runs(("a", 7), ("a", 3), ("a", 5)))) == {"a": [(3, 3), (0, 5), (1, 7)]}


RUNS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4)), max_size=8)


@settings(deadline=None)
@given(RUNS, RUNS)
def test_each_run_is_used_once_and_none_is_left_that_could_be_paired(one, two):
    first, second = runs(*one), runs(*two)
    matches = match_runs(first, second)
    pairs = [pair for of_split in matches.values() for pair in of_split]
    assert len({id(a) for a, _ in pairs}) == len({id(b) for _, b in pairs}) == len(pairs)
    assert all(a.split_id == b.split_id == split for split, of in matches.items() for a, b in of)
    for split in "abc":
        counts = [sum(run.split_id == split for run in side) for side in (first, second)]
        assert len(matches.get(split, [])) == min(counts)
