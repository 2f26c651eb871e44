"""The whole comparison: corrected for the number of pairs, JSON without NaN."""

import json

import pytest
from statsmodels.stats.multitest import multipletests

import hsi
from hsi.errors import ConfigError


@pytest.fixture
def three(make_run, tmp_path):
    """Three networks on five splits: good, good too, bad."""
    for name, wrong in (("good", 0.1), ("fine", 0.1), ("bad", 0.5)):
        for seed in range(5):
            draw = {"good": 0, "fine": 1, "bad": 2}[name]
            make_run(tmp_path / name / f"seed{seed}", seed=seed, wrong=wrong, train=0.6, draw=draw)
    return [tmp_path / name for name in ("good", "fine", "bad")]


def test_verdicts_after_holm(three):
    comparison = hsi.compare(*three)
    assert isinstance(comparison, hsi.Comparison)
    assert [(p.first, p.second) for p in comparison.pairs] == [("A", "B"), ("A", "C"), ("B", "C")]
    p_values = [pair.p for pair in comparison.pairs]
    expected = multipletests(p_values, alpha=0.05, method="holm")
    assert [pair.p_holm for pair in comparison.pairs] == pytest.approx(list(expected[1]))
    assert [pair.verdict != "no difference shown" for pair in comparison.pairs] == expected[0].tolist()
    assert [pair.verdict for pair in comparison.pairs] == ["no difference shown", "A better", "B better"]
    assert comparison.notes == ()


def test_a_verdict_counts_the_pairs_that_were_looked_at(three):
    """At a level between p and its corrected value, two networks differ alone but not among three."""
    pair = hsi.compare(*three).pairs[1]
    assert pair.p < pair.p_holm
    level = (pair.p + pair.p_holm) / 2
    assert hsi.compare(*three, alpha=level).pairs[1].verdict == "no difference shown"
    assert hsi.compare(three[0], three[2], alpha=level).pairs[0].verdict == "A better"


def test_the_other_way_round_it_says_the_same(three):
    (forth,), (back,) = hsi.compare(three[0], three[2]).pairs, hsi.compare(three[2], three[0]).pairs
    assert (forth.verdict, back.verdict) == ("A better", "B better")
    assert back.differences["kappa"] == pytest.approx(-forth.differences["kappa"])
    assert (back.over_runs.low, back.p) == (pytest.approx(-forth.over_runs.high), pytest.approx(forth.p))


def test_a_strict_level_shows_nothing(three):
    assert {pair.verdict for pair in hsi.compare(*three, alpha=1e-9).pairs} == {"no difference shown"}


def test_json_has_no_nan(make_run, tmp_path):
    make_run(tmp_path / "one")
    make_run(tmp_path / "two", draw=1)
    content = hsi.compare(tmp_path / "one", tmp_path / "two", metric="kappa").as_dict()
    printed = json.loads(json.dumps(content, allow_nan=False))
    assert printed == content
    assert printed["contestants"][0]["oa"]["std"] is None
    (pair,) = printed["pairs"]
    assert pair["interval"] == [None, None]
    assert pair["metric"] == "kappa"
    assert len(pair["recall"]["difference"]) == len(printed["class_names"]) == 3


def test_a_limit_of_several_pairs_is_noted_once(make_run, tmp_path):
    for number, name in enumerate("abc"):
        make_run(tmp_path / name, draw=number)
    notes = hsi.compare(*(tmp_path / name for name in "abc")).notes
    assert [note.split(":")[0] for note in notes if "one run each" in note] == ["A - B, A - C, B - C"]


def test_other_cubes_of_one_label_map_are_noted(make_run, tmp_path):
    for number, name in enumerate(("one", "two")):
        make_run(tmp_path / name, draw=number)
    path = tmp_path / "two" / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dataset": "small-raw"}))
    comparison = hsi.compare(tmp_path / "one", tmp_path / "two")
    assert "A on small, B on small-raw" in comparison.notes[0]
    assert [each["dataset"] for each in comparison.as_dict()["contestants"]] == ["small", "small-raw"]


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ([(0, 0), (1, 0)], "share one split"),
        ([(0, 0), (0, 0)], "differ by the same amount"),
        ([(0, 0), (1, 1)], "far too strict"),
    ],
)
def test_what_the_runs_cannot_show_is_noted(make_run, tmp_path, splits, words):
    for side in (0, 1):
        for number, (seed, split_seed) in enumerate(splits):
            make_run(tmp_path / str(side) / f"run{number}", seed=seed, split_seed=split_seed, draw=side)
    notes = hsi.compare(tmp_path / "0", tmp_path / "1").notes
    assert any(words in note for note in notes)
    assert not any("nan" in note for note in notes)


def test_identical_runs_and_unmatched_ones_are_noted(make_run, tmp_path):
    make_run(tmp_path / "one" / "seed0")
    make_run(tmp_path / "one" / "seed1", seed=1)
    make_run(tmp_path / "two")
    comparison = hsi.compare(tmp_path / "one", tmp_path / "two")
    assert any("left out: 1 of A." in note for note in comparison.notes)
    assert any("same result in every test field" in note for note in comparison.notes)
    assert comparison.pairs[0].verdict == "no difference shown"


@pytest.mark.parametrize(
    ("option", "words"), [({"metric": "kapa"}, "'kappa'"), ({"alpha": 5}, "between 0 and 1")]
)
def test_bad_options(option, words):
    with pytest.raises(ConfigError, match=words):
        hsi.compare("one", "two", **option)
