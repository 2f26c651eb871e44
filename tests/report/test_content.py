from pathlib import Path

import pytest

from hsi.report.content import command_line, confidence_text, leakage_text, number, percent, short_names


def test_leakage_is_said_as_what_it_means():
    clean = leakage_text({"centre": 0.0, "overlap": 0.0})
    assert clean.startswith("No leakage")
    near = leakage_text({"centre": 0.0, "overlap": 0.25})
    assert "25.00 % share a pixel" in near
    assert "partly seen" in near
    inside = leakage_text({"centre": 0.71234, "overlap": 1.0})
    assert "71.23 % of the test pixels lie in a training patch, 100.00 % share" in inside
    assert "not how well new ground is classified" in inside


def test_confidence_of_an_svm_is_no_probability():
    assert "its mean is 97.10 %, while 64.00 % of them" in confidence_text(0.971, 0.64, "wcnet")
    assert "no probabilities" in confidence_text(0.971, 0.64, "svm")
    assert "97" not in confidence_text(0.971, 0.64, "svm")


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["runs/a"], ["a"]),
        (["x/seed0", "y/seed0", "x/seed1"], ["x/seed0", "y/seed0", "x/seed1"]),
        (["runs/a", "runs/b"], ["a", "b"]),
        (["runs/a", "runs/a"], ["a", "a"]),
    ],
)
def test_names_are_as_short_as_they_can_be(paths, names):
    assert short_names([Path(path) for path in paths]) == names


def test_numbers():
    assert percent(0.12345) == "12.35"
    assert percent(None) == percent(float("nan")) == "-"
    assert [number(value) for value in (None, 12345, 0.1234, 7)] == ["-", "12\u202f345", "0.123", "7"]


def test_the_command_line_can_be_typed_again():
    line = ["/somewhere/bin/hsi", "train", "--out", "my runs/1"]
    assert command_line({"command_line": line}) == "hsi train --out 'my runs/1'"
    assert command_line({}) == ""
