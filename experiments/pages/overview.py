"""Tables over all scenes of an experiment: each model by scheme of split, and what one option changes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from experiments.pages.significance import against
from experiments.pages.table import Cell, p_value, spread
from hsi.comparison import TTest, corrected_t_test, holm

PLAIN = "-plain"
"""Ends the label of a model that goes without the options which its protocol adds."""
PLUS = "+"
"""Stands in a label between that of another model and the name of what this one has more."""
SCHEMES = {
    "random": "Random split",
    "paper": "The papers' random split",
    "per-class": "So many pixels of each class",
    "mask": "Published masks",
    "disjoint": "Separate regions",
}


def overview(cells: Sequence[Cell]) -> list[str]:
    """Return one table of mean OA for each scheme, models by scenes; nothing where a scheme has one scene."""
    lines = []
    for scheme, title in SCHEMES.items():
        members = [cell for cell in cells if cell.rows[0]["scheme"] == scheme]
        places = list(dict.fromkeys((cell.scene, cell.protocol) for cell in members))
        if len(places) > 1:
            lines += _table(title, members, places)
    return lines


def _table(title: str, cells: Sequence[Cell], places: list[tuple[str, str]]) -> list[str]:
    labels = list(dict.fromkeys(cell.label for cell in cells))
    at = {(cell.scene, cell.protocol, cell.label): cell for cell in cells}
    rows = {label: [at.get((*place, label)) for place in places] for label in labels}
    most = {
        place: max(len(cell.rows) for cell in cells if (cell.scene, cell.protocol) == place)
        for place in places
    }
    whole = {
        label: statistics.fmean(cell.mean("oa") for cell in row if cell is not None)
        for label, row in rows.items()
        if all(cell and len(cell.rows) == most[place] for cell, place in zip(row, places, strict=True))
    }
    lines = [
        f"### {title}: OA of all models\n",
        "| model | " + " | ".join(", ".join(place) for place in places) + " | mean of all |",
        "|---|" + "--:|" * (len(places) + 1),
    ]
    for label in sorted(labels, key=lambda label: (-whole.get(label, -1.0), labels.index(label))):
        shown = [spread(cell, "oa") if cell else "" for cell in rows[label]]
        mean = f"{100 * whole[label]:.2f}" if label in whole else ""
        lines.append(f"| {label} | {' | '.join(shown)} | {mean} |")
    return [*lines, "", *_together(cells, whole)]


def _together(cells: Sequence[Cell], whole: dict[str, float]) -> list[str]:
    """Say how the best network compares with the best classical model over all scenes."""
    kinds = {cell.label: cell.kind for cell in cells}
    networks = [label for label in whole if kinds[label] == "network"]
    classical = [label for label in whole if kinds[label] == "classical"]
    if not networks or not classical:
        return []
    ours, theirs = max(networks, key=whole.__getitem__), max(classical, key=whole.__getitem__)
    return [
        f"Of the models that were run on all scenes: best network {ours}, {100 * whole[ours]:.2f}; best "
        f"classical model {theirs}, {100 * whole[theirs]:.2f}; difference "
        f"{100 * (whole[ours] - whole[theirs]):+.2f} points, not tested.",
        "",
    ]


def with_and_without(cells: Sequence[Cell]) -> list[str]:
    """Return a table of each model beside itself without an option, as their labels tell."""
    at = {(cell.scene, cell.protocol, cell.label): cell for cell in cells}
    both = [
        (at[place, protocol, full], at[place, protocol, plain])
        for place, protocol, label in at
        for full, plain in [_pair(label)]
        if full and (place, protocol, full) in at and (place, protocol, plain) in at
    ]
    if not both:
        return []
    lines = [
        "### With and without\n",
        f"A model labelled *{PLAIN.strip('-')}* goes without the options that its protocol adds; one "
        f"labelled *A{PLUS}b* is A with option b. The p value is of the corrected resampled t-test, not "
        "corrected for the number of lines.\n",
        "| model | scene | protocol | OA without | OA with | difference |",
        "|---|---|---|--:|--:|--:|",
    ]
    for full, plain in both:
        (verdict,) = against(plain, [full])
        p = "" if verdict.p != verdict.p else f" (p {p_value(verdict.p)})"
        lines.append(
            f"| {full.label} | {full.scene} | {full.protocol} | {spread(plain, 'oa')} | {spread(full, 'oa')} "
            f"| {100 * verdict.difference:+.2f}{p} |"
        )
    return [*lines, "", *_over_all_pairs(both)]


def _pair(label: str) -> tuple[str, str]:
    """Return the labels with and without the option that a label tells of; empty ones if it tells of none."""
    if label.endswith(PLAIN):
        return label.removesuffix(PLAIN), label
    base, plus, _ = label.rpartition(PLUS)
    return (label, base) if plus else ("", "")


def _over_all_pairs(both: Sequence[tuple[Cell, Cell]]) -> list[str]:
    """Return a table of each model's mean differences over all scenes, with a test over scenes."""
    columns = ("oa", "aa", "val_oa")
    labels = list(dict.fromkeys(full.label for full, _ in both))
    found = {
        (label, column): by_scene([pair for pair in both if pair[0].label == label], column)
        for label in labels
        for column in columns
    }
    tests = {key: corrected_t_test(list(scenes.values())) for key, scenes in found.items() if scenes}
    corrected: dict[tuple[str, str], float] = {}
    for column in columns:
        keys = [(label, column) for label in labels if (label, column) in tests]
        corrected |= dict(zip(keys, holm([tests[key].p for key in keys]).tolist(), strict=True))
    lines = [
        "All scenes together: a scene counts once, with the mean over its splits, since splits of one scene "
        "share pixels. *p* is of the t-test over scenes, after Holm's correction over the lines.\n",
        "| model | scenes | test OA | p | test AA | p | validation OA | p |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for label in labels:
        cells = [_cell(tests.get((label, column)), corrected.get((label, column))) for column in columns]
        if len(found[label, "oa"]) > 1:
            lines.append(f"| {label} | {len(found[label, 'oa'])} | {' | '.join(cells)} |")
    return [*lines, ""] if len(lines) > 3 else []


def _cell(test: TTest | None, p: float | None) -> str:
    return " | " if test is None or p is None else f"{100 * test.mean:+.2f} | {p_value(p)}"


def by_scene(pairs: Sequence[tuple[Cell, Cell]], column: str) -> dict[str, float]:
    """Return what the first of each pair has more than the second, by scene: the mean over common splits."""
    found: dict[str, list[float]] = {}
    for full, plain in pairs:
        more, less = full.by_split(column), plain.by_split(column)
        found.setdefault(full.scene, []).extend(more[split] - less[split] for split in more if split in less)
    means = {scene: statistics.fmean(values) for scene, values in found.items() if values}
    return {scene: mean for scene, mean in means.items() if mean == mean}
