"""RESULTS.md and its figures, from the results of `hsi sweep`.

Each file ``results/NAME.csv`` gives a chapter, titled as ``NAME.toml`` says; every number and every sentence
on the page is computed from these files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from experiments.pages import checkpoints, cost, distance, growth, honest, left_out, names, recipes, tuning
from experiments.pages.options_figure import draw_options, is_of_options
from experiments.pages.output import Page, Picture
from experiments.pages.overview import SCHEMES, overview, with_and_without
from experiments.pages.significance import Verdict, against
from experiments.pages.sweep_figure import draw_lines, draw_models, drawn_scenes
from experiments.pages.table import Cell, best, conditions, p_value, read_cells, spread
from hsi.io.text import read_toml

BASELINES = ("baseline", "classical")
ALPHA = 0.05
HEAD = """# Results

Written by `make tables` from `results/*.csv`, which `hsi sweep` writes; not edited by hand.

OA, AA and kappa are x100, on test pixels: mean ± sample standard deviation (n - 1) over the runs, in
points. The same seed gives every model of a table the same split. Leakage: share of test pixels whose
centre lies in a training patch, and share whose patch has a pixel in common with one. Seconds: median
time of one training. *vs rival*: difference of OA to the rival, the best baseline of the table, with the
p value of the corrected resampled t-test (Nadeau and Bengio 2003) after Holm's correction over the
networks of the table. What is called best is chosen by the same test scores, which flatters it; models
with fewer runs than others are not called best, and *vs rival* is on the splits that both have. The test
is strict where there are few runs and far more test than training pixels: "no difference is shown" is not
"equal".
"""


def outputs(root: Path) -> list[Page | Picture]:
    """Return the page and its figures, made from the folder of experiments `root`."""
    chapters_of_their_own = (growth, distance, tuning, checkpoints, left_out, recipes)
    measured = {path for part in chapters_of_their_own for path in part.files(root)}
    files = {path.stem: path for path in sorted((root / "results").glob("*.csv")) if path not in measured}
    chapters = {name: read_cells(path) for name, path in files.items()}
    figures = [
        Picture(root / "figures" / file, files[name], draw)
        for name, cells in chapters.items()
        for file, draw, _ in _figures(name, cells, root)
    ]
    figures += distance.figures(root)
    return [Page(root / "RESULTS.md", page(chapters, root)), *figures]


def _figures(name: str, cells: list[Cell], root: Path) -> list[tuple[str, Callable[[], Figure], str]]:
    """Return file, drawing and what it shows for each figure of a chapter."""
    if is_of_options(cells):
        draw = partial(draw_options, cells, names.settings(root / f"{name}.toml"))
        return [(f"{name}.svg", draw, "What one option changes, split by split")]
    found: list[tuple[str, Callable[[], Figure], str]] = []
    if drawn_scenes(cells):
        lines = partial(draw_lines, cells)
        found.append(
            (f"{name}.svg", lines, "Overall accuracy of each model, from random splits to unseen land")
        )
    if any(len(labels) > 1 for labels in _models_of(cells).values()):
        found.append(
            (f"{name}-models.svg", partial(draw_models, cells), "Overall accuracy by model and scene")
        )
    return found


def _models_of(cells: Sequence[Cell]) -> dict[str, set[str]]:
    """Return the models of each scene."""
    models: dict[str, set[str]] = {}
    for cell in cells:
        models.setdefault(cell.scene, set()).add(cell.label)
    return models


def _about_figures(cells: Sequence[Cell]) -> str:
    """Say what the figures leave out, and what their lines are."""
    most = max(len(cell.rows) for cell in cells)
    sentences = []
    if is_of_options(cells):
        return "Each ring is one split, each diamond the mean of the splits of a scene.\n"
    if drawn_scenes(cells):
        sentences.append(
            "Coloured: the networks of this project. Leak: test pixels that lie in a training patch."
        )
    bars = "Bars: sample standard deviation over the runs." if most > 1 else ""
    sentences.append(bars or "Every mark is one run, so that no spread can be drawn.")
    alone = [f"`{scene}`" for scene, models in _models_of(cells).items() if len(models) == 1]
    if alone:
        sentences.append(f"Not drawn, having one model each: {', '.join(alone)}.")
    return " ".join(sentences) + "\n"


def page(chapters: dict[str, list[Cell]], root: Path) -> str:
    """Return the page; `chapters` are the cells of each experiment in the folder `root`, by its name."""
    tables = "".join(_chapter(name, cells, root) for name, cells in chapters.items() if cells)
    own = (part.chapter(root) for part in (tuning, checkpoints, left_out, distance))
    measured = honest.chapter(root) + tables + "".join(own)
    if not measured:
        files = ", ".join(
            f"`{path.name}`" for path in sorted(root.glob("*.toml")) if path.name != cost.ASSUMPTIONS
        )
        return (
            f"{HEAD}\nNothing has been measured yet: there is no CSV in `results/`. The experiments are "
            f"{files}; run one with `hsi sweep`, then `make tables`.\n"
        )
    return HEAD + measured


def _chapter(name: str, cells: list[Cell], root: Path) -> str:
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.scene, cell.protocol), []).append(cell)
    title = _title(root / f"{name}.toml")
    lines = [f"\n## {title}\n", conditions(cells), ""]
    lines += [f"- {sentence}" for sentence in _findings(groups)]
    lines += [""]
    for file, _, what in _figures(name, cells, root):
        lines += [f"![{what}](figures/{file})", ""]
    lines += [_about_figures(cells)]
    lines += names.chapter(cells, root / f"{name}.toml", SCHEMES)
    lines += overview(cells) + with_and_without(cells)
    for (scene, protocol), members in groups.items():
        lines += _table(scene, protocol, members)
    return "\n".join(lines)


def _title(path: Path) -> str:
    return str(read_toml(path).get("title", path.stem)) if path.is_file() else path.stem


def _findings(groups: dict[tuple[str, str], list[Cell]]) -> list[str]:
    """Return sentences that sum up the tables."""
    sentences = []
    compared = [(best(group, ("network",)), best(group, BASELINES), group) for group in groups.values()]
    both = [(network, rival, group) for network, rival, group in compared if network and rival]
    if both:
        ahead = sum(network.mean("oa") > rival.mean("oa") for network, rival, _ in both)
        verdicts = [_verdict_of_best(network, rival, group) for network, rival, group in both]
        untested = sum(verdict.p != verdict.p for verdict in verdicts)
        tested = len(verdicts) - untested
        better = sum(verdict.shown(ALPHA) and verdict.difference > 0 for verdict in verdicts)
        worse = sum(verdict.shown(ALPHA) and verdict.difference < 0 for verdict in verdicts)
        sentences.append(
            f"The best network has a higher mean OA than the best baseline in {ahead} of {len(both)} tables; "
            f"the test shows it better in {better}, worse in {worse}, and no difference in "
            f"{tested - better - worse}"
            + (f"; {untested} have too few runs for a test." if untested else ".")
        )
    classical = [(best(group, ("network",)), best(group, ("classical",))) for group in groups.values()]
    pairs = [(network, rival) for network, rival in classical if network and rival]
    if pairs:
        ahead = sum(network.mean("oa") > rival.mean("oa") for network, rival in pairs)
        sentences.append(
            "The best network has a higher mean OA than the best classical baseline (no network) in "
            f"{ahead} of {len(pairs)}."
        )
    return sentences + _leakage_findings(groups)


def _leakage_findings(groups: dict[tuple[str, str], list[Cell]]) -> list[str]:
    """Say for each scene how the networks fare as less of the test part was seen in training."""
    sentences = []
    for scene in dict.fromkeys(scene for scene, _ in groups):
        parts = []
        labels = [
            {cell.label for cell in group if cell.kind == "network"}
            for (here, _), group in groups.items()
            if here == scene
        ]
        with_networks = [found for found in labels if found]
        everywhere = set.intersection(*with_networks) if with_networks else set()
        for (here, protocol), group in groups.items():
            networks = [cell for cell in group if cell.kind == "network" and cell.label in everywhere]
            if here == scene and networks:
                leakage = networks[0].mean("leakage_centre")
                means = [cell.mean("oa") for cell in networks]
                parts.append((leakage, protocol, min(means), max(means)))
        if len(parts) > 1:
            ranges = [
                f"{_range(low, high)} under {protocol} ({100 * leakage:.0f} % leakage)"
                for leakage, protocol, low, high in sorted(parts, reverse=True)
            ]
            who = "the one network run under all" if len(everywhere) == 1 else f"{len(everywhere)} networks"
            sentences.append(f"{scene}: the mean OA of {who} is {'; '.join(ranges)}.")
    return sentences


def _range(low: float, high: float) -> str:
    return f"{100 * low:.1f}" if f"{low:.3f}" == f"{high:.3f}" else f"{100 * low:.1f} to {100 * high:.1f}"


def _verdict_of_best(network: Cell, rival: Cell, group: Sequence[Cell]) -> Verdict:
    networks = [cell for cell in group if cell.kind == "network"]
    return against(rival, networks)[networks.index(network)]


def _table(scene: str, protocol: str, cells: list[Cell]) -> list[str]:
    rival = best(cells, BASELINES)
    networks = [cell for cell in cells if cell.kind == "network"]
    results = against(rival, networks) if rival else []
    verdicts = {cell.label: verdict for cell, verdict in zip(networks, results, strict=False)}
    counts = {
        part: _span([int(row[f"{part}_pixels"]) for cell in cells for row in cell.rows])
        for part in ("train", "val", "test")
    }
    lines = [
        f"### {scene}, {protocol}\n",
        f"{counts['train']} training, {counts['val']} validation and {counts['test']} test pixels; patch "
        f"{_span([int(row['patch']) for cell in cells for row in cell.rows])}{_epochs(cells)}.\n",
        "| model | kind | runs | OA | AA | kappa | leakage: centre, overlap, % | seconds | vs rival |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    most = max(len(cell.rows) for cell in cells)
    top = max(cell.mean("oa") for cell in cells if len(cell.rows) == most)
    for cell in sorted(cells, key=lambda cell: (-cell.mean("oa"), cell.label)):
        first = len(cell.rows) == most and cell.mean("oa") == top
        name = f"**{cell.label}**" if first else cell.label
        scores = " | ".join(spread(cell, column) for column in ("oa", "aa", "kappa"))
        leakage = ", ".join(f"{100 * cell.mean(f'leakage_{kind}'):.1f}" for kind in ("centre", "overlap"))
        versus = "rival" if cell is rival else _versus(verdicts.get(cell.label))
        lines.append(
            f"| {name} | {cell.kind} | {len(cell.rows)} | {scores} | {leakage} "
            f"| {cell.median('train_seconds'):.0f} | {versus} |"
        )
    network = best(cells, ("network",))
    lines += ["", _sentence(network, rival, verdicts), ""] if network and rival else [""]
    return lines


def _epochs(cells: Sequence[Cell]) -> str:
    """Say how long the networks were trained; nothing where there is none."""
    epochs = [
        int(row["epochs"]) for cell in cells if cell.kind != "classical" for row in cell.rows if row["epochs"]
    ]
    return f"; networks trained for {_span(epochs)} epochs" if epochs else ""


def _sentence(network: Cell, rival: Cell, verdicts: dict[str, Verdict]) -> str:
    verdict = verdicts[network.label]
    start = (
        f"Best network {network.label}, OA {spread(network, 'oa')}; "
        f"best baseline {rival.label}, OA {spread(rival, 'oa')}"
    )
    if verdict.p != verdict.p:
        return f"{start}. Too few common runs for a test."
    direction = "better" if verdict.difference > 0 else "worse"
    what = f"The network is {direction}" if verdict.shown(ALPHA) else "No difference is shown"
    # Runs on a mask test the same pixels: the correction is then too strict, and errs on the careful side.
    of = "runs on one mask" if all(row["split_mask"] for row in network.rows) else "splits"
    return f"{start}. {what} (p {p_value(verdict.p)}, {verdict.splits} {of})."


def _versus(verdict: Verdict | None) -> str:
    if verdict is None or verdict.difference != verdict.difference:
        return ""
    p = "" if verdict.p != verdict.p else f" (p {p_value(verdict.p)})"
    return f"{100 * verdict.difference:+.2f}{p}"


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
