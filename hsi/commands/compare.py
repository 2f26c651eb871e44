"""`hsi compare`: whether networks differ by more than chance."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hsi.commands import options as o

if TYPE_CHECKING:
    from rich.table import Table

    from hsi.comparison import Comparison, Contestant, Pair

NAMES = {"oa": "OA", "aa": "AA", "kappa": "kappa"}


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders, or folders of runs of one network.", show_default=False)
    ],
    metric: Annotated[str, o.choice(NAMES, "What is tested.")] = "oa",
    alpha: Annotated[float, typer.Option(help="Level of verdicts and intervals.", metavar="X")] = 0.05,
    classes: Annotated[bool, typer.Option("--classes", help="Show the recall of each class too.")] = False,
    data_root: o.DataRoot = None,
    json: o.Json = False,
) -> None:
    """Compare networks on the same test pixels: differences, intervals, p values, verdicts.

    Each argument is one contestant; a folder of runs (several seeds of one network) counts as one. Runs are
    matched where their train and test pixels are the same. Train several seeds of both for a verdict that
    goes beyond two single trainings.

    \b
      hsi compare runs/wcnet runs/kanet
      hsi compare runs/wcnet runs/kanet runs/stnet --metric aa --classes
      hsi compare runs/wcnet runs/kanet --json
    """
    from hsi.commands import screen
    from hsi.comparison import compare as compare_runs

    comparison = compare_runs(*runs, metric=metric, alpha=alpha, data_root=data_root)
    for sentence in comparison.notes:
        screen.note(sentence)
    if json:
        screen.print_json(comparison.as_dict())
        return
    out = screen.out()
    out.print(_contestants(comparison))
    out.print(_pairs(comparison))
    if classes:
        for pair in comparison.pairs:
            out.print(_classes(comparison, pair))
    for sentence in _reading(comparison):
        out.print(sentence, highlight=False, markup=False)


def _contestants(comparison: Comparison) -> Table:
    from hsi.commands.screen import percent, table

    what = comparison.dataset + (" (a synthetic scene)" if comparison.synthetic else "")
    title = f"Test scores on {what}: mean ± sample standard deviation (n - 1) over runs"
    columns = [
        ("", False),
        ("runs", False),
        ("model", False),
        ("n", True),
        ("OA %", True),
        ("AA %", True),
        ("kappa (x100)", True),
        ("leakage centre %", True),
        ("leakage overlap %", True),
    ]
    rows = [
        [c.letter, c.path, c.model, len(c.results)]
        + [_spread(c, metric) for metric in NAMES]
        + [percent(c.leakage(figure)) for figure in ("centre", "overlap")]
        for c in comparison.contestants
    ]
    return table(title, columns, rows)


def _spread(contestant: Contestant, metric: str) -> str:
    from hsi.commands.screen import percent

    mean, std = contestant.mean(metric), contestant.std(metric)
    return percent(mean) if std != std else f"{percent(mean)} ± {percent(std)}"


def _pairs(comparison: Comparison) -> Table:
    from hsi.commands.screen import table

    name = NAMES[comparison.metric]
    columns = [
        ("pair", False),
        ("runs", True),
        ("splits", True),
        ("OA", True),
        ("AA", True),
        ("kappa", True),
        (f"{100 * (1 - comparison.alpha):g} % CI {name}", True),
        ("p runs", True),
        ("p fields", True),
        ("p pixels", True),
        ("p Holm", True),
        ("verdict", False),
    ]
    rows = [
        [
            f"{pair.first} - {pair.second}",
            pair.runs,
            pair.splits,
            *(_points(pair.differences[metric]) for metric in NAMES),
            _interval(pair),
            *(_p(p) for p in (pair.over_runs.p, pair.over_fields.p, pair.p_pixels, pair.p_holm)),
            pair.verdict,
        ]
        for pair in comparison.pairs
    ]
    return table(f"Differences in points on matched runs, tested on {name}", columns, rows)


def _classes(comparison: Comparison, pair: Pair) -> Table:
    from hsi.commands.screen import percent, table

    columns = [
        ("class", True),
        ("name", False),
        (f"recall {pair.first} %", True),
        (f"recall {pair.second} %", True),
        ("difference", True),
    ]
    rows = [
        [number, name, percent(one), percent(two), _points(one - two)]
        for number, (name, one, two) in enumerate(
            zip(comparison.class_names, pair.recall_first, pair.recall_second, strict=True), start=1
        )
    ]
    return table(f"Per class, {pair.first} - {pair.second}, in points", columns, rows)


def _reading(comparison: Comparison) -> list[str]:
    """Explain the columns that these runs have."""
    ratios = [pair.test_to_train for pair in comparison.pairs]  # NaN without several test parts
    starts = any(math.isnan(pair.test_to_train) and pair.runs > 1 for pair in comparison.pairs)
    deciding = {pair.decided_by for pair in comparison.pairs}
    lines = []
    if any(ratio <= 1 for ratio in ratios):
        lines.append(
            "p runs, several splits: corrected resampled t-test (Nadeau and Bengio 2003), one value a split; "
            "with its interval."
        )
    if any(ratio > 1 for ratio in ratios):
        lines.append(
            "p runs, several splits with more test than training pixels: paired t-test over splits of this "
            "scene; with its interval."
        )
    if starts:
        lines.append(
            "p runs, one split or one test part: paired t-test over random starts; with its interval."
        )
    lines += [
        "p fields: exact exchange test with connected fields as units, so that neighbours count once.",
        "p pixels: exact McNemar test of OA. Test pixels of one map are spatially correlated, so it "
        "overstates certainty; no verdict rests on it.",
        f"Verdicts: p Holm at most {comparison.alpha:g}; corrected over {len(comparison.pairs)} "
        f"pair{'s' if len(comparison.pairs) > 1 else ''}. They rest on "
        + "; ".join(_BASIS[name] for name in _BASIS if name in deciding)
        + ".",
    ]
    return lines


_BASIS = {
    "splits": "p runs (corrected)",
    "fields and splits": "the larger of p runs and p fields where test pixels outnumber training pixels",
    "fields and starts": "the larger of p runs and p fields where there is one split or one test part",
    "fields": "p fields where there is no p runs",
}


def _points(fraction: float) -> str:
    return "-" if fraction != fraction else f"{100 * fraction:+.2f}"


def _interval(pair: Pair) -> str:
    low, high = pair.over_runs.low, pair.over_runs.high
    return "-" if low != low else f"{_points(low)} to {_points(high)}"


def _p(p: float) -> str:
    if p != p:
        return "-"
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"
