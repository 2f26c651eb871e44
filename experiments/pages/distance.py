"""The chapter of RESULTS.md on accuracy by the distance to the nearest training pixel, and its figures."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from experiments.pages.output import Picture
from experiments.pages.sweep_figure import SPLITS
from hsi.figures.curves import draw_distance
from hsi.io.text import read_rows
from hsi.scoring.distance import DistanceBin

COLUMNS = ("protocol", "label", "runs", "patch", "nearest", "farthest", "pixels", "right")
DRAWN = ("densenet3d", "svm")
"""Models of the figure; the table has all."""
LEAST_SHARE = 0.01
"""The last range of the figure holds at least this share of the pixels."""

Curves = dict[str, tuple[DistanceBin, ...]]


def files(root: Path) -> list[Path]:
    """Return the files of distances, in the order of their names."""
    return sorted((root / "results").glob("distance-*.csv"))


def figures(root: Path) -> list[Picture]:
    """Return one figure for each file."""
    made = []
    for path in files(root):
        curves, halves, _ = _read(path)
        drawn = {name: bins for name, bins in curves.items() if name.split(", ")[0] in DRAWN}
        shown = {_in_words(name): bins for name, bins in drawn.items()}
        picture = root / "figures" / f"{path.stem}.svg"
        made.append(Picture(picture, path, partial(draw_distance, pooled(shown or curves), halves)))
    return made


def _in_words(name: str) -> str:
    label, protocol = name.split(", ")
    return f"{label}, {SPLITS.get(protocol, protocol)}"


def pooled(curves: Curves) -> Curves:
    """Return curves whose last ranges are one as long as the last has less than `LEAST_SHARE` of the pixels.

    The share is of the pixels of the curves that reach so far: an accuracy over a handful says nothing.
    """
    while True:
        count = max((len(bins) for bins in curves.values()), default=0)
        longest = [bins for bins in curves.values() if len(bins) == count]
        pixels = sum(one.pixels for bins in longest for one in bins)
        if count < 2 or sum(bins[-1].pixels for bins in longest) >= LEAST_SHARE * pixels:
            return curves
        curves = {
            name: (*bins[: count - 2], _added(bins[count - 2 :])) if len(bins) >= count - 1 else bins
            for name, bins in curves.items()
        }


def _added(bins: tuple[DistanceBin, ...]) -> DistanceBin:
    """Return neighbouring ranges as one without an end."""
    return DistanceBin(bins[0].nearest, None, sum(one.pixels for one in bins), sum(one.right for one in bins))


def chapter(root: Path) -> str:
    """Return the chapter, empty without measurements."""
    lines = []
    for path in files(root):
        curves, _, runs = _read(path)
        longest = max(curves.values(), key=len)
        heads = [_range(one) for one in longest]
        lines += [
            f"\n## Accuracy by distance: {', '.join(path.stem.split('-', 2)[1:])}\n",
            "OA of test pixels by their Chebyshev distance to the nearest training pixel, in pixels; all "
            "runs of a model under a protocol together, behind each OA the number of pixels, each counted in "
            "every run that tests it; models with other numbers of runs are tested on other pixels. The "
            "lines in the figure are 95 % intervals (Wilson 1927) as if these were independent, which "
            "neighbours, and one pixel in several runs, are not: they are too short. The last "
            f"range of the figure takes in all beyond it, to have {100 * LEAST_SHARE:g} % of the pixels.\n",
            f"![OA against the distance to the nearest training pixel](figures/{path.stem}.svg)\n",
            "| model, protocol | runs | " + " | ".join(heads) + " |",
            "|---|" + "--:|" * (len(heads) + 1),
        ]
        for name, bins in sorted(curves.items(), key=lambda item: item[0].split(", ")[::-1]):
            shown = [_cell(one) for one in bins] + [""] * (len(heads) - len(bins))
            lines.append(f"| {name} | {len(runs[name])} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n" if lines else ""


def _cell(one: DistanceBin) -> str:
    return "" if one.oa is None else f"{100 * one.oa:.1f} ({one.pixels:,})"


def _range(one: DistanceBin) -> str:
    if one.farthest is None:
        return f"≥ {one.nearest}"
    return f"{one.nearest}" if one.nearest == one.farthest else f"{one.nearest} to {one.farthest}"


def _read(path: Path) -> tuple[Curves, set[int], dict[str, set[str]]]:
    """Return, all runs of a model and protocol added up, bins, half-widths of patches and names of runs."""
    counts: dict[str, dict[tuple[int, int | None], tuple[int, int]]] = {}
    halves = set()
    runs: dict[str, set[str]] = {}
    for row in read_rows(path, COLUMNS, "experiments.distances"):
        key = int(row["nearest"]), int(row["farthest"]) if row["farthest"] else None
        curve = f"{row['label']}, {row['protocol']}"
        runs.setdefault(curve, set()).update(row["runs"].split())
        bins = counts.setdefault(curve, {})
        pixels, right = bins.get(key, (0, 0))
        bins[key] = pixels + int(row["pixels"]), right + int(row["right"])
        halves.add(int(row["patch"]) // 2)
    curves = {
        curve: tuple(DistanceBin(*key, *bins[key]) for key in sorted(bins, key=lambda key: key[0]))
        for curve, bins in counts.items()
    }
    return curves, halves, runs
