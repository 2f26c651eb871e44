"""What the page says of confidence, from the bins that a run keeps."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from hsi.confidence.reliability import calibration_error, reliability_bins
from hsi.report.confidence_section import (
    confidence_section,
    confidence_text,
    is_calibrated,
    smoothings_tried,
)


@pytest.fixture
def metrics():
    """Of 400 pixels in three classes: too sure before, nearly right after."""
    random = np.random.default_rng(3)
    found = {
        name: random.dirichlet(np.full(3, weight), 400) for name, weight in (("before", 0.1), ("after", 1))
    }
    targets = random.integers(0, 3, 400)
    kind = {"pixels": 50, "notes": ["A note."]}
    return {
        "calibration": {
            "of_logits": kind,
            "of_smoothed": {"pixels": 50, "notes": []},
            "error": {"test": {name: calibration_error(proba, targets) for name, proba in found.items()}},
            "bins": {
                name: [asdict(one) for one in reliability_bins(proba, targets)]
                for name, proba in found.items()
            },
        },
        "smoothing": None,
    }


def test_an_older_svm_has_no_probabilities_and_a_calibrated_one_has():
    assert "its mean is 97.10 %, while 64.00 % of them" in confidence_text(
        0.971, 0.64, "wcnet", calibrated=False
    )
    assert "no probabilities" in confidence_text(0.971, 0.64, "svm", calibrated=False)
    assert "97" not in confidence_text(0.971, 0.64, "svm", calibrated=False)
    said = confidence_text(0.671, 0.64, "svm", calibrated=True)
    assert "no probabilities" not in said
    assert "calibrated on the validation pixels" in said
    assert "its mean is 67.10 %, while 64.00 %" in said


def test_error_stands_before_and_after(metrics):
    made = confidence_section(metrics)
    before, after = (100 * metrics["calibration"]["error"]["test"][name] for name in ("before", "after"))
    assert f"{before:.2f} points before calibration, {after:.2f} after" in made["say"]
    assert [line["name"] for line in made["lines"]] == [
        f"Before: {before:.2f} points",
        f"After: {after:.2f} points",
    ]
    assert made["notes"] == ["A note."]
    metrics["smoothing"] = {"method": "mean", "unsmoothed": {"test": {"oa": 0.1}}}
    assert "before calibration and smoothing" in confidence_section(metrics)["say"]


def test_dots_lie_where_their_bins_do(metrics):
    made = confidence_section(metrics)
    (left, bottom, low), *_, (right, top, high) = made["ticks"]
    assert (low, high) == ("0", "100")
    for line in made["lines"]:
        bins = [one for one in metrics["calibration"]["bins"][line["stage"]] if one["pixels"]]
        assert len(bins) == len(line["dots"])
        for one, dot in zip(bins, line["dots"], strict=True):
            assert (dot["x"] - left) / (right - left) == pytest.approx(one["confidence"], abs=2e-3)
            assert (dot["y"] - bottom) / (top - bottom) == pytest.approx(one["accuracy"], abs=2e-3)
        largest = max(zip(bins, line["dots"], strict=True), key=lambda pair: pair[0]["pixels"])
        assert largest[1]["r"] == max(dot["r"] for dot in line["dots"])


def test_the_table_counts_every_pixel(metrics):
    rows = confidence_section(metrics)["rows"]
    for at in (0, 3):
        assert sum(int(row["values"][at]) for row in rows) == 400
    assert all(len(row["values"]) == 6 for row in rows)
    assert rows[-1]["bin"] == "93 – 100"


@pytest.mark.parametrize("gone", ["calibration", "bins", "pixels", "nothing fitted"])
def test_runs_without_it_have_no_section(metrics, gone):
    if gone == "calibration":
        del metrics["calibration"]
        assert not is_calibrated(metrics)
    elif gone == "bins":
        del metrics["calibration"]["bins"]
    elif gone == "pixels":
        for one in metrics["calibration"]["bins"]["after"]:
            one |= {"pixels": 0, "confidence": None, "accuracy": None}
    else:
        metrics["calibration"]["of_logits"]["pixels"] = 0
        assert not is_calibrated(metrics)
        return
    assert confidence_section(metrics) is None


def test_the_kept_smoothing_is_marked_among_those_that_were_tried():
    tried = [
        {"text": name, "val_oa": 0.5, "val_log_loss": loss} for name, loss in (("none", 1.5), ("a", 1.25))
    ]
    metrics = {"smoothing": {"text": "a", "tried": tried}}
    assert smoothings_tried(json.loads(json.dumps(metrics))) == [
        ("none", "50.00", "1.5000", False),
        ("a", "50.00", "1.2500", True),
    ]
    assert smoothings_tried({"smoothing": {"text": "a", "tried": tried[1:]}}) == []
    assert smoothings_tried({}) == smoothings_tried({"smoothing": None}) == []
