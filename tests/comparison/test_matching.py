"""Runs are paired on the same split, by seed first."""

from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.comparison.matching import match_runs


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
