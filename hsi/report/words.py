"""What the page says in sentences."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WITHOUT_PROBABILITIES = ("svm",)
"""Models whose scores are no logarithms of probabilities; see `hsi.models.classical_estimators`."""


def percent(fraction: float | None, decimals: int = 2) -> str:
    """Return a fraction x100, "-" where it has no meaning."""
    if fraction is None or math.isnan(fraction):
        return "-"
    return f"{100 * fraction:.{decimals}f}"


def leakage_words(leakage: Mapping[str, float]) -> str:
    """Say how much of the test part the network saw in training, and what that means for the scores."""
    centre, overlap = leakage["centre"], leakage["overlap"]
    if overlap == 0 and centre == 0:
        return (
            "No leakage: no test pixel lies in a training patch, and no patch of a test pixel shares a pixel "
            "with one. The scores are of ground that was not seen in training."
        )
    figures = (
        f"Leakage: {percent(centre)} % of the test pixels lie in a training patch, {percent(overlap)} % "
        "share a pixel with one through their own patch."
    )
    if centre == 0:
        return f"{figures} What surrounds such test pixels was partly seen in training."
    return (
        f"{figures} The scores tell how well the gaps between training pixels are filled, not how well new "
        "ground is classified."
    )


def confidence_words(confidence: float, oa: float, model: str) -> str:
    """Compare the mean confidence on the test pixels with how often they are right; both fractions."""
    what = "Confidence is the largest share of the softmax over the model's scores."
    if model in WITHOUT_PROBABILITIES:
        return f"{what} The scores of an {model.upper()} are no probabilities, so it only orders pixels."
    return (
        f"{what} On the test pixels its mean is {percent(confidence)} %, while {percent(oa)} % of them are "
        "right: it is a probability only as far as these two agree."
    )


def command_words(environment: Mapping[str, Any]) -> str:
    """Return the command line that made a run, without the folder of the program."""
    line: Sequence[str] = environment.get("command_line") or []
    return shlex.join([Path(word).name if place == 0 else word for place, word in enumerate(line)])


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return the last parts of each path, as few for all as tell them apart; a path may stand there twice."""
    parts = [path.resolve().parts for path in paths]
    different = len(set(parts))
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == different:
            return names
    return names


def number(value: float | None) -> str:
    """Return a count with thin spaces between thousands, or a few digits of a fraction."""
    if value is None:
        return "-"
    return f"{value:,.0f}".replace(",", "\u202f") if value >= 100 or value == int(value) else f"{value:.3g}"
