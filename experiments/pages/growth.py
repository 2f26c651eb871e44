"""GROWTH.md and its figure, from the results of `python -m benchmarks.growth`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.growth.figure import draw_growth
from benchmarks.growth.fit import Growth, fit_growth
from benchmarks.growth.points import GrowthFile, read_points
from benchmarks.growth.report import METHOD, findings, growth_conditions, growth_tables
from experiments.pages.output import Page, Picture

HEAD = f"""# Growth

Written by `make tables` from `results/growth-*.csv`, which `python -m benchmarks.growth` writes;
not edited by hand.

How time and memory grow with what a user can make larger, each point measured in fresh processes.
{METHOD}
Work is what has to be done: counted multiply-adds (training: three times those of a forward pass) for the
networks, pixels for the rest, pixels a process for processes that share a training. Memory is the growth of
the process's peak while it is done once; of several processes, all that the first one has.
"""


def outputs(root: Path) -> list[Page | Picture]:
    """Return the page, and one figure for each file of points."""
    chapters, figures = [], []
    for number, path in enumerate(files(root), start=1):
        measured = read_points(path)
        growths = fit_growth(measured.points)
        figure = root / "figures" / ("growth.svg" if number == 1 else f"growth-{number}.svg")
        chapters.append(_chapter(measured, growths, figure.name))
        figures.append(Picture(figure, path, partial(draw_growth, growths)))
    command = "python -m benchmarks.growth --out experiments/results/"
    nothing = f"\nNothing has been measured yet: run `{command}`.\n"
    return [Page(root / "GROWTH.md", HEAD + ("".join(chapters) or nothing)), *figures]


def files(root: Path) -> list[Path]:
    """Return the files of points, in the order of their names."""
    return sorted((root / "results").glob("growth-*.csv"))


def _chapter(measured: GrowthFile, growths: list[Growth], figure: str) -> str:
    lines = ["", f"## {measured.machine['processor']}, {measured.machine['threads']} threads", ""]
    if measured.machine["device"] != "cpu":
        lines[1] = f"## {measured.machine['device']}"
    lines += [growth_conditions(measured.machine, measured.quick), ""]
    lines += [f"- {sentence}" for sentence in findings(growths)]
    lines += ["", f"![Time and peak memory against each size, on logarithmic axes](figures/{figure})"]
    for rows in growth_tables(growths):
        lines += [
            "",
            f"### {rows.title}",
            "",
            "| " + " | ".join(name for name, _ in rows.columns) + " |",
            "|" + "".join("--:|" if numeric else "---|" for _, numeric in rows.columns),
        ]
        lines += ["| " + " | ".join(cells) + " |" for cells in rows.cells]
    return "\n".join(lines) + "\n"
