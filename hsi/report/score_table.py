"""Scores of runs as texts and rows: with and without smoothing, of joined runs, and their leakage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hsi.errors import FileFormatError, RunError
from hsi.inference.joined import ENSEMBLE, is_ensemble
from hsi.inference.run import Run
from hsi.io.text import read_json
from hsi.scoring.scores import spread_of

SCORES = {"oa": "OA %", "aa": "AA %", "kappa": "kappa (x100)", "mean_precision": "mean precision %"}


def percent(fraction: float | None, decimals: int = 2) -> str:
    """Return a fraction x100, "-" for None and NaN."""
    if fraction is None or math.isnan(fraction):
        return "-"
    return f"{100 * fraction:.{decimals}f}"


def points(first: float | None, second: float | None) -> str:
    """Return second minus first in points, with its sign; "-" where one has no meaning."""
    if first is None or second is None or math.isnan(first) or math.isnan(second):
        return "-"
    return f"{100 * (second - first):+.2f}"


def number(value: float | None) -> str:
    """Format a count with thin spaces between thousands, or a fraction with three digits."""
    if value is None:
        return "-"
    return f"{value:,.0f}".replace(",", "\u202f") if value >= 100 or value == int(value) else f"{value:.3g}"


def listed(words: Sequence[str]) -> str:
    """Join words: "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def leakage_text(leakage: Mapping[str, float]) -> str:
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


_SMOOTHINGS = {
    "mean": "the mean of the neighbours",
    "segments": "the mean of each segment of like neighbours",
    "mrf": "a Markov random field, in which neighbours pull a pixel towards their class",
    "edges": "a mean of the neighbours in which like spectra count more",
}


def smoothing_text(smoothing: Mapping[str, Any] | None, *, regions: bool) -> str:
    """Say how the probabilities were smoothed; "" where that was not asked for, or of an older run.

    `smoothing` is that of metrics.json; `regions`: whether the split has regions that nothing crosses.
    """
    if not smoothing:
        return ""
    tried = len(smoothing.get("tried") or ())
    if smoothing["method"] == "none":
        return (
            f"Not smoothed: of {tried} ways that were tried, none had a lower loss on the validation pixels."
        )
    parts = [_SMOOTHINGS.get(part, part) for part in smoothing["method"].split("+")]
    what = parts[0] if len(parts) == 1 else f"the average of {listed(parts)}"
    said = f"Smoothed by {smoothing['text']}: {what}."
    if tried > 1:
        said += f" Of {tried} ways that were tried it had the lowest loss on the validation pixels."
    return f"{said} Nothing is smoothed across the border of a region." if regions else said


def smoothing_lines(runs: Sequence[Run], names: Mapping[int, str]) -> list[tuple[str, str]]:
    """Return how the runs are smoothed, and who it holds for; "" for all."""
    return _shared(
        [
            (smoothing_text(run.metrics.get("smoothing"), regions=run.split.regions is not None), run)
            for run in runs
        ],
        names,
    )


def leakage_lines(runs: Sequence[Run], names: Mapping[int, str]) -> list[tuple[str, str]]:
    """Return what the leakage of the runs means, and who it holds for; "" for all."""
    return _shared([(leakage_text(run.metrics["leakage"]), run) for run in runs], names)


def _shared(texts: Sequence[tuple[str, Run]], names: Mapping[int, str]) -> list[tuple[str, str]]:
    said: dict[str, list[str]] = {}
    for text, run in texts:
        said.setdefault(text, []).append(names[id(run)])
    return [("" if len(said) == 1 else listed(who), text) for text, who in said.items() if text]


def unsmoothed_scores(metrics: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the test scores before smoothing; None where nothing was smoothed."""
    smoothing = metrics.get("smoothing")
    if not smoothing or smoothing["method"] == "none":
        return None
    scores: Mapping[str, Any] = smoothing["unsmoothed"]["test"]
    return scores


def score_tiles(run: Run) -> list[dict[str, Any]]:
    """Return OA, AA, kappa and leakage of one run: name, value, a few words, and whether it is a warning."""
    test, leakage = run.metrics["test"], run.metrics["leakage"]
    plain = unsmoothed_scores(run.metrics)
    tested = number(run.metrics["counts"]["test"])
    classes = sum(1 for support in test["support"] if support)
    shared = f"{percent(leakage['overlap'])} % of patches share a pixel with training"
    tiles: list[dict[str, Any]] = [
        {"name": name, "value": value, "about": about, "warn": warn}
        for name, value, about, warn in (
            ("Overall accuracy (OA)", f"{percent(test['oa'])} %", f"of {tested} test pixels", False),
            ("Average accuracy (AA)", f"{percent(test['aa'])} %", f"mean recall of {classes} classes", False),
            ("Kappa (x100)", percent(test["kappa"]), "agreement beyond chance", False),
            ("Leakage", f"{percent(leakage['centre'])} %", shared, leakage["overlap"] > 0),
        )
    ]
    if plain is not None:
        for tile, score in zip(tiles, ("oa", "aa", "kappa"), strict=False):
            tile["about"] += f"; {percent(plain[score])} not smoothed"
    return tiles


def score_rows(
    groups: Sequence[Sequence[Run]], names: Mapping[int, str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of the table of scores, and sentences on runs that were joined.

    A run that is smoothed has a second row without; below a group stand its mean and deviation, and what its
    runs score as one if they were joined. Groups of different networks, scenes or schemes have no mean. Two
    single runs have their difference. `names` are keyed by the ``id`` of the run.

    Raises
    ------
    RunError
        When the file of joined runs is damaged.
    """
    rows: list[dict[str, Any]] = []
    said: list[str] = []
    runs = [run for group in groups for run in group]
    differing = [key for key in ("model", "dataset", "scheme") if len({run.metrics[key] for run in runs}) > 1]
    for group in groups:
        for run in group:
            about = ", ".join(
                str(run.metrics[key]) for key in differing if run.metrics[key] != names[id(run)]
            )
            rows += _rows_of(names[id(run)], about, run.metrics)
        kinds = {tuple(run.metrics[key] for key in ("model", "dataset", "scheme")) for run in group}
        if len(group) > 1 and len(kinds) == 1:
            rows += _mean_rows(group)
        joined_rows, sentences = _joined(group)
        rows, said = rows + joined_rows, said + sentences
    if [len(group) for group in groups] == [1, 1]:
        first, second = (group[0].metrics for group in groups)
        values = [points(first["test"][score], second["test"][score]) for score in SCORES]
        values += [
            points(first["leakage"][figure], second["leakage"][figure]) for figure in ("centre", "overlap")
        ]
        about = f"{names[id(runs[1])]} minus {names[id(runs[0])]}, in points"
        rows.append(_row("Difference", about, values, total=True))
    return rows, said


def _rows_of(
    name: str, about: str, metrics: Mapping[str, Any], *, total: bool = False
) -> list[dict[str, Any]]:
    """Return the row of a run, or of joined ones, and below it the row without smoothing."""
    tested = number(metrics["counts"]["test"])
    values = [percent(metrics["test"][score]) for score in SCORES]
    values += [percent(metrics["leakage"][figure]) for figure in ("centre", "overlap")]
    plain = unsmoothed_scores(metrics)
    without = None if plain is None else [percent(plain[score]) for score in SCORES]
    return _with_and_without(_row(name, about, values, tested=tested), without, total=total)


def _with_and_without(
    row: dict[str, Any], without: Sequence[str] | None, *, total: bool
) -> list[dict[str, Any]]:
    """Return a row, and one of the scores `without` smoothing; the last has a line below it if `total`."""
    rows = [row]
    if without is not None:
        rows.append(_row(f"{row['name']}, not smoothed", "", [*without, "", ""], plain=True))
    rows[-1]["total"] = total
    return rows


def _mean_rows(group: Sequence[Run]) -> list[dict[str, Any]]:
    leakage = [
        percent(float(np.mean([run.metrics["leakage"][figure] for run in group])))
        for figure in ("centre", "overlap")
    ]
    about = "± is the sample standard deviation (n - 1), in points"
    row = _row(f"Mean of {len(group)}", about, [*_spread([run.metrics for run in group]), *leakage])
    plain = [scores for run in group if (scores := unsmoothed_scores(run.metrics)) is not None]
    without = _spread([{"test": scores} for scores in plain]) if len(plain) == len(group) else None
    return _with_and_without(row, without, total=True)


def _spread(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    spread = spread_of(metrics)
    return [f"{percent(spread[score]['mean'])} ± {percent(spread[score]['std'])}" for score in SCORES]


def _joined(group: Sequence[Run]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return rows and sentences on a group whose runs, all of a folder, were joined."""
    folder = group[0].path.parent
    if len(group) < 2 or not is_ensemble(folder) or any(run.path.parent != folder for run in group):
        return [], []
    try:
        about = read_json(folder / ENSEMBLE)
        if set(about["members"]) != {run.path.name for run in group}:
            return [], []
        rows = _rows_of("Joined", str(about["model"]), about, total=True)
        sentences = [
            f"Joined: the mean of the calibrated probabilities of {len(group)} runs, on the same test pixels."
        ]
        smoothed = about.get("smoothing") if unsmoothed_scores(about) is not None else None
        text = f"Smoothed by {smoothed['text']}." if smoothed else ""
        error = ((about.get("calibration") or {}).get("error") or {}).get("test") or {}
        if error.get("after") is not None:
            sentences.append(f"Their calibration error together is {percent(error['after'])} points.")
        return rows, [" ".join([sentences[0], *([text] if text else []), *sentences[1:]])]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, FileFormatError) as error:
        raise RunError(f"'{folder / ENSEMBLE}' is damaged ({error!r}); train the group again.") from None


def _row(
    name: str,
    about: str,
    values: Sequence[str],
    *,
    tested: str = "",
    total: bool = False,
    plain: bool = False,
) -> dict[str, Any]:
    """Return a row; `total`: a line stands below it, `plain`: it is of what is not delivered."""
    return {
        "name": name, "about": about, "tested": tested, "values": values, "total": total, "plain": plain,
    }  # fmt: skip
