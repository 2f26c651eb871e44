"""The chapter of RESULTS.md on maps of unseen land: models alone, smoothed, and joined."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.pages import names
from experiments.pages.overview import SCHEMES
from experiments.pages.recipes import (
    NAME,
    PLUS,
    REFERENCE,
    Pairs,
    Recipe,
    beside,
    on_splits,
    over_scenes,
    read,
    recipes_of,
    reference_of,
)
from experiments.pages.table import Cell, conditions, p_value, spread
from hsi.comparison import TTest
from hsi.io.text import read_toml

BACKBONE = "densenet3d"
AIM = 0.05
"""What the best is to have more than the reference (OA)."""
MOST_ERROR = 0.05
"""What the calibration error is to be at most."""
ALPHA = 0.05
ABOUT = """
Each model *alone*, as it is, and *smoothed* as `--smooth auto` chooses on the validation pixels of each
split; A{plus}B is the mean of the calibrated probabilities of the runs of A and B on one split, which
`python -m experiments.joined` writes. Smoothing crosses no border of the split. In means over scenes all
scenes weigh the same, and only what has all runs is in them. The p value over scenes is of the t-test on the
means of the scenes, that of one scene of the corrected resampled t-test on its splits (Nadeau and Bengio
2003); both are after Holm's correction over the lines of a table, and differences are in points.
"""


def chapter(root: Path) -> str:
    """Return the chapter, empty without measurements."""
    own, joined = read(root)
    if not own:
        return ""
    settings = root / f"{NAME}.toml"
    table = read_toml(settings) if settings.is_file() else {}
    cells = [*own, *joined]
    scenes = list(dict.fromkeys(cell.scene for cell in cells))
    most = {scene: max(len(cell.rows) for cell in cells if cell.scene == scene) for scene in scenes}
    recipes = recipes_of(cells)
    whole = [
        recipe
        for recipe in recipes
        if {scene: len(cell.rows) for scene, cell in recipe.cells.items()} == most
    ]
    whole = [recipe for recipe in whole if recipe.mean("oa") == recipe.mean("oa")]
    smoothing = {
        smoothed.label: {scene: (cell, alone.cells[scene]) for scene, cell in smoothed.cells.items()}
        for alone, smoothed in zip(recipes[::2], recipes[1::2], strict=True)
    }
    complete = {recipe.label: smoothing[recipe.label] for recipe in whole if recipe.smoothed}
    sentences = [
        *_missing(own, recipes, whole, table),
        *_best(whole, scenes),
        *_networks(smoothing, complete, own, scenes),
        *_average_accuracy(complete),
        *_calibration(whole),
        _leakage(cells),
        _choices(cells),
    ]
    lines = [
        f"\n## {table.get('title', NAME)}\n",
        conditions(own),
        ABOUT.format(plus=PLUS),
        *(f"- {sentence}" for sentence in sentences),
        "",
        *names.chapter(own, settings, SCHEMES),
        *_scores("oa", recipes, whole, scenes),
        *_scores("aa", recipes, whole, scenes),
        *_differences(smoothing, complete, scenes),
        *_errors(recipes, whole, scenes),
    ]
    return "\n".join(lines) + "\n"


def _missing(
    own: Sequence[Cell],
    recipes: Sequence[Recipe],
    whole: Sequence[Recipe],
    table: Mapping[str, object],
) -> list[str]:
    """Say which runs that were planned are not there, and what is in no mean for that."""
    sentences = []
    parts = [table.get(part) for part in ("scenes", "models", "protocols", "seeds")]
    planned = math.prod(len(part) for part in parts if isinstance(part, Mapping | Sequence))
    there = sum(len(cell.rows) for cell in own)
    if table and there != planned:
        sentences.append(f"Of {planned} runs that `{NAME}.toml` asks for, {there} are here.")
    labels = {recipe.label for recipe in whole}
    left = list(dict.fromkeys(recipe.label for recipe in recipes if recipe.label not in labels))
    if left:
        sentences.append(f"Not in the means over scenes, for want of runs: {', '.join(left)}.")
    if max(len(cell.rows) for cell in own) == 1:
        sentences.append("There is one split of each scene, so no spread and no test on splits.")
    return sentences


def _best(whole: Sequence[Recipe], scenes: Sequence[str]) -> list[str]:
    """Say how the best recipe compares with the plain reference."""
    reference = reference_of(whole)
    if reference is None:
        return [f"Without all runs of {REFERENCE}, nothing can be compared with it."]
    pairs = beside(reference, whole)
    tests = over_scenes(pairs, "oa")
    compared = [reference, *(recipe for recipe in whole if recipe.name in tests)]
    ours, theirs = max(compared, key=lambda recipe: recipe.mean("oa")), reference.mean("oa")
    if ours is reference:
        return [
            f"No other has a higher mean OA than plain {REFERENCE}, {_percent(theirs)}: the aim of "
            f"{100 * AIM:g} points over it is missed."
        ]
    test, p = tests[ours.name]
    ahead = sum(cell.mean("oa") > reference.cells[scene].mean("oa") for scene, cell in ours.cells.items())
    verdicts = [on_splits(pairs, scene, "oa")[ours.name] for scene in scenes]
    better = sum(verdict.shown(ALPHA) and verdict.difference > 0 for verdict in verdicts)
    worse = sum(verdict.shown(ALPHA) and verdict.difference < 0 for verdict in verdicts)
    untested = sum(verdict.p != verdict.p for verdict in verdicts)
    gap = test.mean - AIM
    aim = "reached" if gap >= 0 else f"missed by {_points(-gap)}"
    if p != p:
        said = "There are too few scenes for a test over them"
    else:
        shown = "it is better" if p <= ALPHA else "no difference is shown"
        said = f"By the test over scenes {shown} (p {p_value(p)})"
    if untested < len(scenes):
        same = len(scenes) - better - worse - untested
        said += f"; by the test on splits it is better on {better} scenes, worse on {worse}, and no "
        said += f"difference is shown on {same}" + (f"; untested {untested}" if untested else "")
    aa = ours.mean("aa") - reference.mean("aa")
    lower = "lower" if aa < 0 else "not lower"
    return [
        f"Best: **{ours.name}**, mean OA {_percent(ours.mean('oa'))}, {_points(test.mean)} over plain "
        f"{REFERENCE} ({_percent(theirs)}), higher on {ahead} of {len(scenes)} scenes. The aim of "
        f"{100 * AIM:g} points is {aim}. {said}. It is the best of {len(compared)} by these very scores, "
        "which flatters it.",
        f"Its AA is {lower} than that of plain {REFERENCE}: {_percent(ours.mean('aa'))} against "
        f"{_percent(reference.mean('aa'))} ({100 * aa:+.2f}).",
    ]


def _networks(
    smoothing: Mapping[str, Pairs],
    complete: Mapping[str, Pairs],
    own: Sequence[Cell],
    scenes: Sequence[str],
) -> list[str]:
    """Say whether a network on the backbone loses OA by smoothing, over scenes and on single ones."""
    networks = list(
        dict.fromkeys(
            cell.label
            for cell in own
            if cell.kind == "network" and cell.rows[0]["model"] != BACKBONE and cell.label in complete
        )
    )
    if not networks:
        return []
    tests = over_scenes(complete, "oa")
    means = {label: tests[label][0].mean for label in networks}
    lost = {label: mean for label, mean in means.items() if mean < 0}
    count = len(networks)
    if lost:
        listed = ", ".join(f"{label} {100 * mean:+.2f}" for label, mean in lost.items())
        verb = "loses" if len(lost) == 1 else "lose"
        certain = sum(tests[label][1] <= ALPHA for label in lost)
        first = (
            f"Of {count} networks on the backbone, {len(lost)} {verb} mean OA by smoothing: {listed}; the "
            f"test over scenes shows {certain or 'none'} of them."
        )
    else:
        low, high = (100 * bound(means.values()) for bound in (min, max))
        first = (
            f"None of {count} networks on the backbone loses mean OA by smoothing ({low:+.2f} to "
            f"{high:+.2f} points)."
        )
    single = []
    shown = 0
    for scene in scenes:
        verdicts = on_splits(smoothing, scene, "oa")
        for label in networks:
            verdict = verdicts[label]
            if verdict.difference < 0:
                single.append(f"{label} on {scene} {100 * verdict.difference:+.2f}")
                shown += verdict.shown(ALPHA)
    if not single:
        return [f"{first} Nor does one on a single scene."]
    cases = f"{len(single)} of {count * len(scenes)} pairs of network and scene"
    tested = f"the test shows {shown or 'none'} of them"
    return [f"{first} On single scenes it is lower in {cases} ({', '.join(single)}); {tested}."]


def _average_accuracy(complete: Mapping[str, Pairs]) -> list[str]:
    """Say which models have a lower AA with smoothing."""
    if not complete:
        return []
    tests = over_scenes(complete, "aa")
    lower = {label: (test, p) for label, (test, p) in tests.items() if test.mean < 0}
    if not lower:
        return [f"Mean AA is lower with smoothing for none of {len(tests)} models, joined ones included."]
    listed = ", ".join(f"{label} {100 * test.mean:+.2f}" for label, (test, _) in lower.items())
    shown = sum(p <= ALPHA for _, p in lower.values())
    tested = f"the test shows {shown or 'none'} of them"
    return [f"Mean AA is lower with smoothing for {len(lower)} of {len(tests)} models: {listed}; {tested}."]


def _calibration(whole: Sequence[Recipe]) -> list[str]:
    """Say how large the calibration error is before and after."""
    after = {recipe.label: recipe.mean("calibration_error") for recipe in whole if recipe.smoothed}
    before = {recipe.label: recipe.mean_before for recipe in whole if recipe.smoothed}
    known = [value for value in before.values() if value == value]
    after = {label: value for label, value in after.items() if value == value}
    if not after:
        return []
    first = f"{_range(known)} points before and " if known else ""
    above = [f"{label} {_percent(value)}" for label, value in after.items() if value > MOST_ERROR]
    met = len(after) - len(above)
    more = f"; not by {', '.join(above)}" if above else ""
    return [
        f"The expected calibration error, mean over scenes, is {first}{_range(list(after.values()))} points "
        f"after calibration and smoothing; the aim of at most {100 * MOST_ERROR:g} points is met by {met} of "
        f"{len(after)}{more}."
    ]


def _leakage(cells: Sequence[Cell]) -> str:
    """Say how much leaks, smoothing included."""
    kinds = ("leakage_centre", "leakage_overlap")
    centre, overlap = (max(number for cell in cells for number in cell.values(kind)) for kind in kinds)
    if centre == overlap == 0:
        return "Leakage, centre and overlap, is 0 in every run, what smoothing reaches included."
    return f"Leakage is up to {_percent(centre)} % (centre) and {_percent(overlap)} % (overlap)."


def _choices(cells: Sequence[Cell]) -> str:
    """Say what validation pixels chose."""
    texts = [row["smoothing"] for cell in cells for row in cell.rows]
    methods = Counter(" + ".join(part.split()[0] for part in text.split(" + ")) for text in texts if text)
    counted = ", ".join(f"{method} {count}" for method, count in methods.most_common())
    return f"The smoothing that validation pixels chose: {counted}."


def _scores(
    column: str, recipes: Sequence[Recipe], whole: Sequence[Recipe], scenes: Sequence[str]
) -> list[str]:
    """Return the table of a score: each recipe on each scene, the mean, and what it is over the reference."""
    reference = reference_of(whole)
    tests = over_scenes(beside(reference, whole), column)
    means = {recipe.name: recipe.mean(column) for recipe in whole}
    top = max(means.values(), default=math.nan)
    head = f"vs plain {REFERENCE} | " if reference else ""
    lines = [
        f"### {column.upper()} alone, smoothed, joined\n",
        f"| model | runs | {' | '.join(scenes)} | mean of scenes | {head}".rstrip(),
        "|---|" + "--:|" * (len(scenes) + (3 if reference else 2)),
    ]
    for recipe in sorted(recipes, key=lambda recipe: -means.get(recipe.name, -1.0)):
        mean = means.get(recipe.name, math.nan)
        shown = [spread(recipe.cells[scene], column) if scene in recipe.cells else "" for scene in scenes]
        runs = sum(len(cell.rows) for cell in recipe.cells.values())
        name = f"**{recipe.name}**" if mean == top else recipe.name
        line = f"| {name} | {runs} | {' | '.join(shown)} | {_percent(mean)} |"
        if reference:
            line += " – |" if recipe is reference else f" {_tested(tests.get(recipe.name))} |"
        lines.append(line)
    return [*lines, ""]


def _differences(
    smoothing: Mapping[str, Pairs], complete: Mapping[str, Pairs], scenes: list[str]
) -> list[str]:
    """Return the table of what smoothing changes."""
    single = {scene: on_splits(smoothing, scene, "oa") for scene in scenes}
    means = {column: over_scenes(complete, column) for column in ("oa", "aa")}
    lines = [
        "### What smoothing changes: smoothed minus alone\n",
        f"| model | {' | '.join(f'OA, {scene}' for scene in scenes)} | OA, mean of scenes "
        "| AA, mean of scenes |",
        "|---|" + "--:|" * (len(scenes) + 2),
    ]
    for label in smoothing:
        shown = [
            _change(verdict.difference, verdict.p) if (verdict := single[scene].get(label)) else ""
            for scene in scenes
        ]
        shown += [_tested(means[column].get(label)) for column in means]
        lines.append(f"| {label} | {' | '.join(shown)} |")
    return [*lines, ""]


def _errors(recipes: Sequence[Recipe], whole: Sequence[Recipe], scenes: Sequence[str]) -> list[str]:
    """Return the table of calibration errors."""
    lines = [
        "### Expected calibration error\n",
        "On test pixels, in points. Before: softmax of the model's logits, without smoothing; after: "
        "calibrated and smoothed. Runs are calibrated before they are joined, which then have no before.\n",
        f"| model | {' | '.join(f'{scene}: before, after' for scene in scenes)} | mean before | mean after |",
        "|---|" + "--:|" * (len(scenes) + 2),
    ]
    for recipe in recipes:
        if not recipe.smoothed:
            continue
        shown = []
        for scene in scenes:
            cell = recipe.cells.get(scene)
            one = Recipe(recipe.label, True, {scene: cell}) if cell else None
            values = [one.mean_before, one.mean("calibration_error")] if one else []
            shown.append(", ".join(_percent(value) for value in values if value == value))
        both = (recipe.mean_before, recipe.mean("calibration_error")) if recipe in whole else ()
        means = [_percent(value) for value in both] or ["", ""]
        lines.append(f"| {recipe.label} | {' | '.join(shown)} | {' | '.join(means)} |")
    return lines


def _tested(found: tuple[TTest, float] | None) -> str:
    return "" if found is None else _change(found[0].mean, found[1])


def _change(difference: float, p: float) -> str:
    if difference != difference:
        return ""
    return f"{100 * difference:+.2f}" + ("" if p != p else f" (p {p_value(p)})")


def _percent(share: float) -> str:
    """Return a fraction x100; nothing where it has no meaning."""
    return "" if share != share else f"{100 * share:.2f}"


def _points(share: float) -> str:
    return f"{100 * share:.2f} points"


def _range(shares: Sequence[float]) -> str:
    low, high = _percent(min(shares)), _percent(max(shares))
    return low if low == high else f"{low} to {high}"
