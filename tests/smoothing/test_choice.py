"""Names and strengths: what users may say, what records hold, and what is refused."""

from __future__ import annotations

import json

import pytest

from hsi.errors import ConfigError
from hsi.smoothing.choice import CANDIDATES, METHODS, NONE, Smoothing, candidates, parse

EVERY = tuple(dict.fromkeys(one for tried in CANDIDATES.values() for one in tried))


@pytest.mark.parametrize("one", EVERY, ids=str)
def test_a_choice_survives_json_and_can_be_a_key(one):
    again = Smoothing.from_dict(json.loads(json.dumps(one.as_dict())))
    assert again == one
    assert {one: 1}[again] == 1
    assert str(again) == str(one)


def test_candidates_read_differently():
    words = [str(one) for one in EVERY]
    assert len(words) == len(set(words))


def test_every_method_is_tried_and_auto_may_choose_none():
    assert CANDIDATES["auto"][0] == NONE
    assert {part for one in EVERY for part in one.parts} == set(METHODS)


@pytest.mark.parametrize("one", EVERY, ids=str)
def test_the_parts_of_a_choice_have_its_settings(one):
    assert "+".join(part.method for part in one.split()) == one.method
    assert tuple(pair for part in one.split() for pair in part.settings) == one.settings


def test_defaults_are_filled_in_and_numbers_made_of_the_right_kind():
    one = Smoothing("mean", {"width": 5.0})
    assert one["width"] == 5
    assert str(one) == "mean 5 x 5"
    assert one == Smoothing("mean", (("width", 5),))
    assert dict(Smoothing("mrf", {"beta": 2}).settings) == {"beta": 2.0, "iterations": 10, "contrast": 3.0}


def test_methods_are_joined_in_one_order():
    assert parse("Segments + mean") == ("mean", "segments")
    assert Smoothing("segments+mean") == Smoothing("mean+segments")
    assert str(Smoothing("segments+mean", {"width": 5, "scale": 0.5, "min_size": 4})) == (
        "mean 5 x 5 + segments (scale 0.5, at least 4 pixels)"
    )
    assert parse("auto") == ("auto",)
    assert parse("mean+mean") == ("mean",)


def test_any_combination_has_candidates():
    tried = candidates("edges+mrf")
    assert [one.method for one in tried] == ["mrf+edges"] * 3
    assert [(one["beta"], one["radius"]) for one in tried] == [(1.0, 2), (2.0, 3), (4.0, 5)]
    assert candidates("mean") == CANDIDATES["mean"]


def test_margins():
    assert NONE.margin == Smoothing("segments").margin == 0
    assert Smoothing("mean+mrf", {"width": 9, "iterations": 7}).margin == 7


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("men", "Did you mean 'mean'"),
        ("segment", "Did you mean 'segments'"),
        ("mean+mfr", "Did you mean 'mrf'"),
        ("", "Unknown smoothing ''"),
        ("mean+", "Unknown smoothing ''"),
        ("none+mean", "give it alone"),
        ("auto+mean", "give it alone"),
    ],
)
def test_a_wrong_name_is_told(name, said):
    with pytest.raises(ConfigError, match=said.replace("'", ".")):
        parse(name)


@pytest.mark.parametrize(
    ("method", "given", "said"),
    [
        ("mean", {"width": 4}, "odd number from 1 to 101; got 4"),
        ("mean", {"width": 0}, "odd number"),
        ("mean", {"width": True}, "odd number"),
        ("mean", {"width": "5"}, "odd number"),
        ("mean", {"widht": 5}, "Did you mean 'width'"),
        ("none", {"width": 5}, "has no setting 'width'"),
        ("mrf", {"beta": float("nan")}, "a number from 0 to 100; got nan"),
        ("mrf", {"beta": float("inf")}, "a number"),
        ("mrf", {"iterations": 2.5}, "a whole number"),
        ("segments", {"scale": -1}, "a number from 0"),
        ("auto", {}, "a choice among several"),
    ],
)
def test_a_wrong_setting_is_told(method, given, said):
    with pytest.raises(ConfigError, match=said):
        Smoothing(method, given)


@pytest.mark.parametrize("record", [{}, {"method": 3}, [], None, {"method": "mean", "width": None}])
def test_a_record_that_is_none_is_told(record):
    with pytest.raises(ConfigError):
        Smoothing.from_dict(record)
