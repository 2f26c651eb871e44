"""Output of the command line: tables and JSON on standard output, notes on standard error.

Names and notes that come from files are printed as text, never as markup, and cannot steer the terminal.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from hsi.io.text import plain
from hsi.scoring.scores import spread_of

WIDE = 140  # columns where the output is no terminal, so that tables in files are whole


class _PlainConsole(Console):
    """A console that shows control characters in text as escapes; colours of its own stay."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(plain(text), **options)


def out() -> Console:
    """Return the console of standard output."""
    return _PlainConsole(width=None if sys.stdout.isatty() else WIDE)


def err() -> Console:
    """Return the console of standard error."""
    return _PlainConsole(stderr=True, width=None if sys.stderr.isatty() else WIDE)


OPTIONS_ELSEWHERE: set[str] = set()
"""Options of ``hsi scene new`` that the running verb does not have."""


def with_verb(sentence: str) -> str:
    """Return a sentence with ``hsi scene new`` before the options that the running verb does not have.

    Files are read for several verbs, and what is said of them names the options that describe a scene.
    """
    if "hsi scene new" in sentence:
        return sentence
    return re.sub(
        r"(?<![\w-])--[a-z][a-z-]*[a-z]",
        lambda flag: f"hsi scene new {flag[0]}" if flag[0] in OPTIONS_ELSEWHERE else flag[0],
        sentence,
    )


def note(sentence: str) -> None:
    """Say something beside the results, on standard error."""
    said = Text.assemble(("note:", "yellow"), " ", plain(with_verb(sentence)))
    err().print(said, highlight=False, soft_wrap=True)


def print_json(content: Any) -> None:
    """Print one JSON object on standard output."""
    print(json.dumps(content, indent=1, allow_nan=False))


def table(title: str, columns: Iterable[tuple[str, bool]], rows: Iterable[Iterable[object]]) -> Table:
    """Return a table; each column is its header and whether it holds numbers. Text is shown as it is."""
    made = Table(title=Text(plain(title)), title_justify="left", header_style="bold")
    for header, numeric in columns:
        made.add_column(Text(plain(header)), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(plain(str(cell))) for cell in row))
    return made


def percent(fraction: float | None) -> str:
    """Return a fraction x100 with two decimals, "-" where it has no meaning."""
    return "-" if fraction is None or fraction != fraction else f"{100 * fraction:.2f}"


def score_table(metrics: dict[str, Any]) -> Group:
    """Return OA, AA and kappa of each part, with the leakage of the split below."""
    what = f"{metrics['model']} on {metrics['dataset']}"
    if metrics.get("synthetic"):
        what += " (a synthetic scene)"
    title = f"{what}, {metrics['scheme']} split, patch {metrics['patch']}, seed {metrics['seed']}"
    columns = [
        ("pixels", False),
        ("count", True),
        ("OA %", True),
        ("AA %", True),
        ("kappa (x100)", True),
        ("mean precision %", True),
    ]
    rows = [
        [part, metrics["counts"][part]]
        + [percent(metrics[part][name]) for name in ("oa", "aa", "kappa", "mean_precision")]
        for part in ("train", "val", "test")
        if metrics.get(part)
    ]
    smoothing, after = metrics.get("smoothing"), []
    if smoothing and smoothing["method"] != "none":
        unsmoothed = smoothing["unsmoothed"]["test"]
        rows.append(
            ["test, not smoothed", metrics["counts"]["test"]]
            + [percent(unsmoothed[name]) for name in ("oa", "aa", "kappa", "mean_precision")]
        )
        after.append(f"Smoothed: {smoothing['text']}; no smoothing crosses a region.")
    after += _confidence_sentences(metrics)
    by_scene = [
        f"{one['name']} {percent(one['oa'])} % of {one['pixels']}"
        for one in metrics.get("scenes") or ()
        if one["pixels"]
    ]
    below = [Text(plain(f"Test OA by scene: {', '.join(by_scene)}."))] if len(by_scene) > 1 else []
    said = [Text(plain(sentence)) for sentence in after]
    return Group(table(title, columns, rows), *below, *said, Text(leakage_sentence(metrics["leakage"])))


def _confidence_sentences(metrics: Mapping[str, Any]) -> list[str]:
    """Say how far the confidence of the test pixels is from their accuracy, and how prediction sets do."""
    said = []
    error = (metrics.get("calibration") or {}).get("error", {}).get("test")
    if error and error["after"] is not None:
        before = f", {percent(error['before'])} before calibration" if error.get("before") is not None else ""
        said.append(f"Calibration error of the confidence (ECE): {percent(error['after'])} points{before}.")
    rejection = metrics.get("rejection")
    if rejection:
        said.append(
            f"Not recognised at a rate of {percent(rejection['rate'])} % of validation pixels: "
            f"{percent(rejection['test_share'])} % of the test pixels; OA of the others "
            f"{percent(rejection['oa_of_the_others'])} %. The scores above are of all of them."
        )
    sets = metrics.get("prediction_sets")
    if sets:
        said.append(
            f"Prediction sets of {percent(sets['coverage'])} %: {percent(sets['test_coverage'])} % of the "
            f"test pixels' sets hold the true class, with {sets['mean_size']:.2f} classes in the mean."
        )
        said += sets["notes"]
    return said


def joined_table(members: Mapping[str, Mapping[str, Any]], metrics: dict[str, Any]) -> Group:
    """Return the test scores of runs, by their names, and of all of them together."""
    title = f"{metrics['model']} on {metrics['dataset']}, {metrics['scheme']} split, seed {metrics['seed']}"
    columns = [("test pixels by", False), *((header, True) for header in SHOWN.values())]
    rows = [[name, *(percent(one["test"][score]) for score in SHOWN)] for name, one in members.items()]
    made = table(f"{title}: test scores", columns, rows)
    made.add_section()
    smoothing, after = metrics["smoothing"], []
    if smoothing and smoothing["method"] != "none":
        unsmoothed = smoothing["unsmoothed"]["test"]
        made.add_row("joined, not smoothed", *(percent(unsmoothed[score]) for score in SHOWN))
        after.append(f"Smoothed: {smoothing['text']}; no smoothing crosses a region.")
    made.add_row("joined", *(percent(metrics["test"][score]) for score in SHOWN))
    said = [Text(plain(sentence)) for sentence in [*after, *_confidence_sentences(metrics)]]
    return Group(made, *said, Text(leakage_sentence(metrics["leakage"])))


def leakage_sentence(leakage: dict[str, float]) -> str:
    """Say how much of the test part the network saw while it was trained."""
    centre, overlap = percent(leakage["centre"]), percent(leakage["overlap"])
    return f"Leakage: {centre} % of test pixels lie in a training patch, {overlap} % share a pixel with one."


def class_table(metrics: dict[str, Any], names: Iterable[str]) -> Any:
    """Return recall and precision of each class on the test pixels."""
    test = metrics["test"]
    columns = [
        ("class", True),
        ("name", False),
        ("train", True),
        ("test", True),
        ("recall %", True),
        ("precision %", True),
    ]
    rows = [
        [
            number,
            name,
            metrics["train"]["support"][number - 1],
            test["support"][number - 1],
            percent(test["recall"][number - 1]),
            percent(test["precision"][number - 1]),
        ]
        for number, name in enumerate(names, start=1)
    ]
    return table("Per class, on the test pixels", columns, rows)


def distance_table(bins: Iterable[dict[str, Any]]) -> Group:
    """Return the accuracy of test pixels near to training pixels and far from them."""
    columns = [("distance, px", True), ("test pixels", True), ("OA %", True), ("95 % interval", True)]
    rows = []
    for one in bins:
        near, far = one["nearest"], one["farthest"]
        bounds = one["interval"]
        rows.append(
            [
                near if near == far else f"{near} or more" if far is None else f"{near}-{far}",
                one["pixels"],
                percent(one["oa"]),
                "-" if bounds is None else f"{percent(bounds[0])} - {percent(bounds[1])}",
            ]
        )
    what = table("By Chebyshev distance to the nearest training pixel", columns, rows)
    return Group(what, Text("The Wilson intervals take pixels as independent; neighbours are not."))


SHOWN = {"oa": "OA %", "aa": "AA %", "kappa": "kappa (x100)", "mean_precision": "mean precision %"}


def group_table(runs: Mapping[str, dict[str, Any]]) -> Group:
    """Return the test scores of runs, by their names, with mean and sample standard deviation."""
    metrics = list(runs.values())
    first = metrics[0]
    what = f"{first['model']} on {first['dataset']}"
    if first.get("synthetic"):
        what += " (a synthetic scene)"
    title = f"{what}, {first['scheme']} split, patch {first['patch']}: test scores"
    columns = [("run", False), ("pixels", True), *((header, True) for header in SHOWN.values())]
    columns += [("leakage centre %", True), ("leakage overlap %", True)]
    rows = [
        [name, one["counts"]["test"]]
        + [percent(one["test"][score]) for score in SHOWN]
        + [percent(one["leakage"][figure]) for figure in ("centre", "overlap")]
        for name, one in runs.items()
    ]
    made = table(title, columns, rows)
    if len(metrics) == 1:
        return Group(made)
    made.add_section()
    spread = spread_of(metrics)
    made.add_row(
        f"mean of {len(metrics)}",
        "",
        *(f"{percent(spread[score]['mean'])} ± {percent(spread[score]['std'])}" for score in SHOWN),
        *(
            percent(sum(one["leakage"][figure] for one in metrics) / len(metrics))
            for figure in ("centre", "overlap")
        ),
    )
    return Group(made, Text("± is the sample standard deviation (n - 1) over the runs, in points."))
