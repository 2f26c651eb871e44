"""What the page says of confidence: how far it is from accuracy, as sentences, a diagram and a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hsi.report.score_table import number, percent, unsmoothed_scores

WITHOUT_PROBABILITIES = ("svm",)
"""Models whose scores are not log probabilities; see `hsi.models.classical_tuning`."""

STAGES = ("before", "after")


def confidence_text(confidence: float, oa: float, model: str, *, calibrated: bool) -> str:
    """Compare the mean confidence on the test pixels with how often they are right; both fractions.

    Runs of older versions are not `calibrated`.
    """
    what = "Confidence is the largest share of the softmax over the model's scores."
    if calibrated:
        what = "Confidence is the largest probability, calibrated on the validation pixels."
    elif model in WITHOUT_PROBABILITIES:
        return f"{what} The scores of an {model.upper()} are no probabilities, so it only orders pixels."
    return (
        f"{what} On the test pixels its mean is {percent(confidence)} %, while {percent(oa)} % of them are "
        "right: it is a probability only as far as these two agree."
    )


def is_calibrated(metrics: Mapping[str, Any]) -> bool:
    """Whether the probabilities of a run were calibrated on at least one validation pixel."""
    return bool(((metrics.get("calibration") or {}).get("of_logits") or {}).get("pixels"))


def confidence_section(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the calibration error of a run, its reliability diagram and table; None for older runs."""
    calibration = metrics.get("calibration") or {}
    bins = calibration.get("bins")
    if not bins or not any(one["pixels"] for one in bins["after"]):
        return None
    errors = calibration["error"]["test"]
    smoothed = unsmoothed_scores(metrics) is not None
    what = "calibration and smoothing" if smoothed else "calibration"
    gap = f"{percent(errors['before'])} points before {what}, {percent(errors['after'])} after"
    fitted = number(calibration["of_logits"]["pixels"])
    return {
        "say": (
            f"Expected calibration error on the test pixels: {gap}. It is the mean gap between confidence "
            f"and the share of pixels that are right, over {len(bins['after'])} bins of confidence; "
            f"calibration is fitted on {fitted} validation pixels."
        ),
        "notes": [*calibration["of_logits"]["notes"], *calibration["of_smoothed"]["notes"]],
        "about": f"Share of right test pixels against confidence: calibration error {gap}.",
        "lines": [
            {"stage": stage, "name": f"{stage.capitalize()}: {percent(errors[stage])} points"}
            | _line(bins[stage])
            for stage in STAGES
        ],
        "ticks": [(_x(share), _y(share), f"{100 * share:.0f}") for share in (0, 0.2, 0.4, 0.6, 0.8, 1)],
        "frame": {"left": _LEFT, "right": _RIGHT, "top": _TOP, "bottom": _BOTTOM},
        "rows": _rows(bins),
    }


_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 346, 12, 248  # of the diagram, in its own pixels
_SMALLEST, _LARGEST = 2.5, 11.0  # radius of a dot


def _x(share: float) -> float:
    return round(_LEFT + share * (_RIGHT - _LEFT), 1)


def _y(share: float) -> float:
    return round(_BOTTOM - share * (_BOTTOM - _TOP), 1)


def _line(bins: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the path through the bins, and their dots: place, and a radius by the share of pixels."""
    total = sum(one["pixels"] for one in bins) or 1
    dots = [
        {
            "x": _x(one["confidence"]),
            "y": _y(one["accuracy"]),
            "r": round(_SMALLEST + (_LARGEST - _SMALLEST) * math.sqrt(one["pixels"] / total), 1),
        }
        for one in bins
        if one["pixels"]
    ]
    return {"path": "M" + "L".join(f"{dot['x']},{dot['y']}" for dot in dots), "dots": dots}


def _rows(bins: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return a row for each bin that has pixels before or after."""
    rows = []
    for both in zip(*(bins[stage] for stage in STAGES), strict=True):
        if not any(one["pixels"] for one in both):
            continue
        values = [
            text
            for one in both
            for text in (
                number(one["pixels"]),
                percent(one["confidence"], 1),
                percent(one["accuracy"], 1),
            )
        ]
        low, high = (percent(both[0][edge], 0) for edge in ("low", "high"))
        rows.append({"bin": f"{low} – {high}", "values": values})
    return rows


def smoothings_tried(metrics: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    """Return the smoothings that were tried: name, validation OA, log loss, whether it was kept."""
    smoothing = metrics.get("smoothing") or {}
    tried = smoothing.get("tried") or []
    return [
        (one["text"], percent(one["val_oa"]), f"{one['val_log_loss']:.4f}", one["text"] == smoothing["text"])
        for one in tried
        if len(tried) > 1
    ]
