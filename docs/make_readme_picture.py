"""Make the pictures and the sample output of README.md: `make readme`.

Runs the commands that the README shows, and the same training on a random split, draws both, and puts what
the commands printed between the markers `START` and `END`. ``python -m docs.make_readme_picture FOLDER``
keeps the runs in a folder; from a folder that has them it draws the pictures alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray
from PIL import Image

import hsi
from benchmarks.speed_table import replace_between
from hsi.datasets.scene import to_rgb
from hsi.figures.maps import false_color
from hsi.figures.style import COLORS, STYLE, draw_grid
from hsi.scoring.distance import DistanceBin

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
START = "<!-- sample output: made by docs/make_readme_picture.py -->"
END = "<!-- end of the sample output -->"
COMMANDS = ("hsi train --model wcnet --dataset demo --out first", "hsi report first")
COLUMNS = 92  # of a block of code on a page that shows README.md
WIDTH, DPI = 8.3, 200  # inches; shown 830 pixels wide, and sharp on a screen with twice as many
LEAST_PIXELS = 50
"""An accuracy over fewer test pixels is not drawn."""
RANDOM, UNSEEN = COLORS[1], COLORS[0]
SUBSETS = {"training": "#1f4e79", "validation": "#f2a541", "test": "#c9d6df"}
README_STYLE = {
    **STYLE,
    **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), 9),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 8),
    "axes.titlelocation": "left",
}


def overview(unseen: hsi.Run, random: hsi.Run) -> Figure:
    """Draw scene, labels and map, and the accuracy of both runs against the distance to training pixels."""
    scene = unseen.load_scene()
    figure = Figure(figsize=(WIDTH, 3.05), layout="constrained", facecolor="white")
    maps, right = figure.subfigures(1, 2, width_ratios=(2.15, 1))
    panels = maps.subplots(1, 3)
    regions = unseen.split.regions
    assert regions is not None
    predicted = to_rgb(("#000000", *scene.colors))[unseen.predict(scene)]
    seen = (regions != 3)[..., None]  # 1 training, 2 validation, 3 test
    labels = to_rgb(("#ffffff", *scene.colors))[scene.labels]
    titles = (
        "The scene, in natural colour",
        "Its labels",
        f"Unseen land: OA {100 * unseen.scores['test'].oa:.1f} %",
    )
    pictures = (false_color(scene), labels, np.where(seen, 0.2 * predicted + 0.8 * 255, predicted))
    for axes, title, picture in zip(panels, titles, pictures, strict=True):
        _image(axes, picture.astype(np.uint8))
        axes.set_title(title)
    panels[2].contour(~seen[..., 0], levels=[0.5], colors="black", linewidths=0.6)
    panels[2].set_xlabel("pale: trained or validated there", fontsize=8)
    swatches = [Patch(facecolor=color, edgecolor="0.3", linewidth=0.4) for color in scene.colors]
    maps.legend(
        swatches,
        scene.class_names,
        loc="outside lower center",
        ncols=-(-len(swatches) // 2),
        frameon=False,
        handlelength=1.0,
        handleheight=1.0,
        columnspacing=1.2,
    )
    _distances(right.subplots(), unseen, random, scene)
    right.legend(loc="outside lower center", frameon=False, handlelength=1.6)
    return figure


def _distances(axes: Axes, unseen: hsi.Run, random: hsi.Run, scene: hsi.Scene) -> None:
    bins_of = {run.path: hsi.accuracy_by_distance(run, scene) for run in (random, unseen)}
    longest, used = max(bins_of.values(), key=len), 0
    for run, name, color in ((random, "random split", RANDOM), (unseen, "separate regions", UNSEEN)):
        shown = [(place, one) for place, one in enumerate(bins_of[run.path]) if one.pixels >= LEAST_PIXELS]
        accuracy = [100 * (one.oa or 0.0) for _, one in shown]
        ends = np.transpose([one.interval or (0.0, 0.0) for _, one in shown])
        axes.errorbar(
            [place for place, _ in shown],
            accuracy,
            yerr=np.abs(100 * ends - accuracy),
            color=color,
            marker="os"[run is unseen],
            elinewidth=0.8,
            label=f"{name}: OA {100 * run.scores['test'].oa:.1f} %",
        )
        used = max(used, shown[-1][0])
    first = [one.nearest - 0.5 for one in longest]
    half = np.interp(unseen.config.patch // 2 + 0.5, first, np.arange(len(first)) - 0.5)
    axes.axvspan(-0.5, float(half), color="0.93", zorder=0)
    axes.text(-0.4, 3, "nearer than\nhalf a patch", fontsize=7.5, color="0.35")
    axes.set_xticks(range(used + 1), [_span(one) for one in longest[: used + 1]], fontsize=7)
    axes.set(xlim=(-0.5, used + 0.5), ylim=(0, 104))
    axes.set_xlabel("pixels to the nearest training pixel")
    axes.set_title("Accuracy of test pixels (%)")
    draw_grid(axes)


def _span(one: DistanceBin) -> str:
    if one.farthest is None:
        return f"≥{one.nearest}"
    return f"{one.nearest}" if one.nearest == one.farthest else f"{one.nearest}–{one.farthest}"


def leakage(unseen: hsi.Run, random: hsi.Run) -> Figure:
    """Draw which pixels both splits train, validate and test on, and one test patch of each."""
    scene = unseen.load_scene()
    patch = unseen.config.patch
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained", facecolor="white")
    panels = figure.subplots(1, 4, width_ratios=(1.35, 1, 1.35, 1))
    for (left, right), run, name in zip(
        (panels[:2], panels[2:]), (random, unseen), ("Random split", "Separate regions"), strict=True
    ):
        split = run.split
        subset = np.zeros(scene.labels.size, int)
        for code, pixels in enumerate((split.train, split.val, split.test), start=1):
            subset[pixels] = code
        colors = to_rgb(("#ffffff", *SUBSETS.values()))[subset.reshape(scene.labels.shape)]
        _image(left, colors)
        rows, cols = _window(scene.labels.shape, split, patch)
        left.add_patch(_frame(cols.start, rows.start, patch))
        left.set_title(f"{name}: {100 * split.leakage(patch).centre:.1f} % leakage")
        seen = np.ones((patch, patch, 1), bool)
        if split.regions is not None:  # a patch sees nothing of other regions
            seen = (split.regions[rows, cols] == 3)[..., None]
        _image(right, np.where(seen, colors[rows, cols], 90).astype(np.uint8))
        right.plot(patch // 2, patch // 2, "+", color="#d55e00", markersize=9, markeredgewidth=1.8)
        count = int((subset.reshape(scene.labels.shape)[rows, cols] == 1)[seen[..., 0]].sum())
        right.set_xlabel(f"one test patch:\n{count} training pixels in it", fontsize=8)
    swatches = [Patch(facecolor=color, edgecolor="0.3", linewidth=0.4) for color in SUBSETS.values()]
    swatches += [Patch(facecolor="white", edgecolor="0.3", linewidth=0.4), Patch(facecolor="#5a5a5a")]
    names = [f"{name} pixels" for name in SUBSETS]
    figure.legend(
        swatches,
        [*names, "no label", "another region, hidden from the network"],
        loc="outside lower center",
        ncols=len(swatches),
        frameon=False,
        handlelength=1.0,
        handleheight=1.0,
        columnspacing=1.2,
    )
    return figure


def _window(shape: tuple[int, ...], split: hsi.Split, patch: int) -> tuple[slice, slice]:
    """Return the whole patch of a test pixel: the median number of training pixels, or 60 % in its region."""
    rows, cols = shape
    half = patch // 2
    counted = np.zeros(shape, int)
    if split.regions is None:
        counted.ravel()[split.train] = 1
        wanted = 0.0
    else:
        counted = (split.regions == 3).astype(int)
        wanted = 0.6 * patch * patch
    sums = np.lib.stride_tricks.sliding_window_view(counted, (patch, patch)).sum(axis=(2, 3))
    row, col = np.divmod(split.test, cols)
    whole = (row >= half) & (row < rows - half) & (col >= half) & (col < cols - half)
    row, col = row[whole], col[whole]
    counts = sums[row - half, col - half]
    wanted = wanted or float(np.median(counts))
    from_middle = np.hypot(row - rows / 2, col - cols / 2)
    chosen = np.lexsort((from_middle, np.abs(counts - wanted)))[0]
    top, left = int(row[chosen]) - half, int(col[chosen]) - half
    return slice(top, top + patch), slice(left, left + patch)


def _frame(left: int, top: int, patch: int) -> Rectangle:
    return Rectangle((left - 0.5, top - 0.5), patch, patch, fill=False, edgecolor="#d55e00", linewidth=1.6)


def _image(axes: Axes, image: NDArray[np.uint8]) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)


def save(figure: Figure, name: str) -> None:
    """Write a PNG of at most 256 colours, which a figure hardly needs more of: a third of the size."""
    buffer = BytesIO()
    figure.get_layout_engine().set(w_pad=0.07, h_pad=0.07)
    with rc_context(README_STYLE):
        figure.savefig(buffer, format="png", dpi=DPI)
    image = Image.open(buffer).convert("RGB")
    PICTURES.mkdir(exist_ok=True)
    image.quantize(256, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)
    print(f"docs/pictures/{name}.png")


def sample(folder: Path) -> str:
    """Run the commands in a folder and return what they print, and how long that took, as Markdown."""
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "NO_COLOR": "1"}
    lines, began = [], time.monotonic()
    for command in COMMANDS:
        print(command, file=sys.stderr)
        done = subprocess.run(
            [sys.executable, "-m", *command.split()],
            cwd=folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode:
            raise SystemExit(f"'{command}' ended with status {done.returncode}:\n{done.stdout}")
        lines += [f"$ {command}", *shortened(done.stdout.splitlines()), ""]
    seconds = time.monotonic() - began
    about = hsi.open_run(folder / "first").environment
    text = "\n".join(lines).rstrip()
    processor, threads = about["processor"], about["threads"]
    return (
        f"```console\n{text}\n```\n\nBoth commands took {seconds:.0f} s on {processor}, {threads} "
        f"thread{'s' if threads != 1 else ''}, without a GPU.\n"
    )


def shortened(lines: Sequence[str]) -> list[str]:
    """Return lines without trailing spaces, with ``...`` for all epochs but the first and the last."""
    epochs = [number for number, line in enumerate(lines) if re.match(r"epoch +\d+", line)]
    kept = []
    for number, line in enumerate(lines):
        if number in epochs[1:-1]:
            if number == epochs[1]:
                kept.append("...")
        else:
            kept.append(line.rstrip())
    return kept


def with_sample(readme: str, text: str) -> str:
    """Return the README with `text` as its sample output."""
    return replace_between(START, END, readme, f"\n{text}\n")


def main(arguments: list[str]) -> None:
    """Write both pictures and the sample output."""
    readme = ROOT / "README.md"
    with TemporaryDirectory() as temporary:
        folder = Path(arguments[0] if arguments else temporary).resolve()
        if not (folder / "first" / "metrics.json").is_file():
            text = sample(folder)
            page = readme.read_text(encoding="utf-8")
            readme.write_text(with_sample(page, text), encoding="utf-8")
        unseen = hsi.open_run(folder / "first")
        if not (folder / "random" / "metrics.json").is_file():
            print("the same training on a random split", file=sys.stderr)
            hsi.train(
                model=unseen.config.model, dataset="demo", scheme="random", seed=0, out=folder / "random"
            )
        random = hsi.open_run(folder / "random")
        save(overview(unseen, random), "readme-overview")
        save(leakage(unseen, random), "readme-leakage")


if __name__ == "__main__":
    with rc_context(README_STYLE):
        main(sys.argv[1:])
