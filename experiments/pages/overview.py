"""Tables over all scenes of an experiment: each model by scheme of split, and what one option changes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from scipy import stats

from hsi.sweep.significance import against
from hsi.sweep.table import Cell
from pages.words import p_words, spread

PLAIN = "-plain"
"""Ends the label of a model that goes without the options which its protocol adds."""
SCHEMES = {
    "random": "Random split",
    "paper": "The papers' random split",
    "per-class": "So many pixels of each class",
    "mask": "Published masks",
    "disjoint": "Separate areas",
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
    whole = {
        label: statistics.fmean(cell.mean("oa") for cell in row if cell is not None)
        for label, row in rows.items()
        if None not in row
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
        f"{100 * (whole[ours] - whole[theirs]):+.2f} points.",
        "",
    ]


def with_and_without(cells: Sequence[Cell]) -> list[str]:
    """Return a table of each model beside itself without the options that its protocol adds."""
    at = {(cell.scene, cell.protocol, cell.label): cell for cell in cells}
    pairs = [(at.get((cell.scene, cell.protocol, cell.label.removesuffix(PLAIN))), cell) for cell in cells]
    both = [(full, plain) for full, plain in pairs if full and plain.label.endswith(PLAIN)]
    if not both:
        return []
    lines = [
        "### With and without\n",
        f"A model labelled *{PLAIN.strip('-')}* goes without the options that its protocol adds; the p value "
        "is of the corrected resampled t-test, not corrected for the number of lines.\n",
        "| model | scene | protocol | OA without | OA with | difference |",
        "|---|---|---|--:|--:|--:|",
    ]
    for full, plain in both:
        (verdict,) = against(plain, [full])
        p = "" if verdict.p != verdict.p else f" (p {p_words(verdict.p)})"
        lines.append(
            f"| {full.label} | {full.scene} | {full.protocol} | {spread(plain, 'oa')} | {spread(full, 'oa')} "
            f"| {100 * verdict.difference:+.2f}{p} |"
        )
    return [*lines, "", *_over_all_pairs(both)]


def _over_all_pairs(both: Sequence[tuple[Cell, Cell]]) -> list[str]:
    """Return a table of each model's mean differences over all scenes and splits, with paired tests."""
    lines = [
        "All scenes and splits together; *p* is of the paired t-test, *p ranks* of the signed-rank test "
        "(Wilcoxon 1945). Splits of one scene share pixels, so both overstate certainty.\n",
        "| model | pairs | test OA | p | p ranks | test AA | p | validation OA | p |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for label in dict.fromkeys(full.label for full, _ in both):
        pairs = [(full, plain) for full, plain in both if full.label == label]
        oa, aa, val = (_differences(pairs, column) for column in ("oa", "aa", "val_oa"))
        if len(oa) > 1:
            lines.append(
                f"| {label} | {len(oa)} | {100 * statistics.fmean(oa):+.2f} | {p_words(_paired_t(oa))} "
                f"| {p_words(float(stats.wilcoxon(oa).pvalue))} "
                f"| {100 * statistics.fmean(aa):+.2f} | {p_words(_paired_t(aa))} "
                f"| {100 * statistics.fmean(val):+.2f} | {p_words(_paired_t(val))} |"
            )
    return [*lines, ""]


def _differences(pairs: Sequence[tuple[Cell, Cell]], column: str) -> list[float]:
    """Return what the first of each pair has more than the second, on each split that both have."""
    found = []
    for full, plain in pairs:
        more, less = full.by_split(column), plain.by_split(column)
        found += [more[split] - less[split] for split in more if split in less]
    return found


def _paired_t(differences: Sequence[float]) -> float:
    return float(stats.ttest_1samp(differences, 0.0).pvalue)
