"""Make the pictures of the explanations from short trainings on the embedded scene.

``python docs/make_pictures.py`` writes docs/pictures. Each network is trained once, in a few minutes on two
cores; ``python docs/make_pictures.py FOLDER`` keeps the runs in a folder and uses those that are there. The
same CPU type gives the same pictures.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

import hsi
from hsi import explain, figures
from hsi.figures.maps import false_color
from hsi.figures.style import COLORS, PAGE_INCHES, STYLE, draw_grid

PICTURES = Path(__file__).with_name("pictures")
PATCH = 11
DPI = 160
# One setting for all blocks, small enough for a few minutes each; the depth is that of the papers.
TRAINING: dict[str, Any] = {
    "dataset": "demo",
    "protocol": "disjoint",
    "preset": None,
    "train": 0.1,
    "val": 0.05,
    "patch": PATCH,
    "select_bands": 24,
    "epochs": 12,
    "batch": 16,
    "lr": 1e-3,
    "seed": 0,
}


def masked_patch(scene: hsi.Scene) -> Figure:
    """Draw one patch at the edge of a region: as it lies in the scene, and as the network sees it."""
    split = hsi.make_split(scene, scheme="disjoint", train=0.3, val=0.1, patch=PATCH, seed=0)
    assert split.regions is not None
    half, regions = PATCH // 2, split.regions

    def window(pixel: int) -> tuple[slice, slice]:
        row, col = divmod(int(pixel), scene.cols)
        return slice(row - half, row + half + 1), slice(col - half, col + half + 1)

    def share(pixel: int) -> float:  # of the patch that lies in the pixel's own region; whole patches only
        part = regions[window(pixel)]
        return float((part == 3).mean()) if part.shape == (PATCH, PATCH) else 1.0

    chosen = min(split.test, key=lambda pixel: abs(share(pixel) - 0.6))
    rows, cols = window(chosen)
    colors = false_color(scene)
    own = (regions[rows, cols] == 3)[..., None]
    figure = Figure(figsize=(PAGE_INCHES, 2.7), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    shades = np.asarray([[255, 255, 255], [31, 78, 121], [242, 165, 65], [201, 214, 223]], np.uint8)
    left.imshow((0.5 * colors + 0.5 * shades[regions]).astype(np.uint8))
    left.add_patch(_square(cols.start, rows.start))
    left.set_title("train blue, val orange, test grey")
    middle.imshow(colors[rows, cols])
    middle.set_title(f"a test patch, {PATCH} x {PATCH}, in the scene")
    right.imshow(np.where(own, colors[rows, cols], 128))
    right.set_title("what the network sees of it")
    for axes in (left, middle, right):
        _bare(axes)
    for axes in (middle, right):
        axes.plot(half, half, "+", color="white", markersize=9)
    return figure


def _bare(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _square(left: int, top: int) -> Rectangle:
    return Rectangle((left - 0.5, top - 0.5), PATCH, PATCH, fill=False, edgecolor="#d55e00", linewidth=1.5)


def averages(run: hsi.Run) -> Figure:
    """Draw recall and precision of each class, and the two means that are printed as "AA"."""
    scores, names = run.scores["test"], run.metrics["class_names"]
    figure = Figure(figsize=(PAGE_INCHES, 2.9), layout="constrained")
    axes: Axes = figure.subplots()
    places = np.arange(len(names))
    for shift, values, name, mean, color in (
        (-0.2, scores.recall, "recall", scores.aa, COLORS[0]),
        (0.2, scores.precision, "precision", scores.mean_precision, COLORS[1]),
    ):
        axes.bar(places + shift, 100 * np.asarray(values), 0.38, color=color, label=f"{name} of the class")
        axes.axhline(100 * mean, color=color, linestyle="--", label=f"mean {name}: {100 * mean:.1f} %")
    axes.set_xticks(places, names, rotation=20, ha="right")
    axes.set_ylabel("%")
    draw_grid(axes)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure


def pictures(folder: Path) -> Iterator[tuple[str, Figure]]:
    """Yield the name and the figure of each picture; runs are kept in `folder`."""
    scene = hsi.load_scene("demo")

    def run(model: str) -> hsi.Run:
        path = folder / model
        if not (path / "metrics.json").is_file():
            print(f"training {model}", file=sys.stderr)
            return hsi.train(model=model, out=path, **TRAINING)
        return hsi.open_run(path)

    yield "masked-patch", masked_patch(scene)
    wcnet = run("wcnet")
    yield "curves", figures.draw_curves(wcnet.history)
    yield "average-accuracy", averages(wcnet)
    yield "wcnet-energy", explain.wavelet_energy(wcnet).figure()
    yield "wcnet-receptive-field", explain.receptive_field(wcnet).figure()
    yield "ekgnet-experts", explain.expert_weights(run("ekgnet"), scene).figure()
    kanet = run("kanet")
    yield "kanet-splines", explain.splines(kanet).figure()
    yield "kanet-knots", explain.grid_shift(kanet).figure()
    sgdscnet = run("sgdscnet")
    pixels = sgdscnet.split.test[[len(sgdscnet.split.test) // 3, 2 * len(sgdscnet.split.test) // 3]]
    yield "sgdscnet-snakes", explain.snake_offsets(sgdscnet, pixels, scene=scene).figure()
    yield "sgdscnet-bending", explain.snake_magnitude(sgdscnet, scene).figure()
    yield "stnet-gate", explain.gate(run("stnet"), scene).figure()


def save(figure: Figure, name: str) -> None:
    """Write a PNG of at most 256 colours, which a figure hardly needs more of: a third of the size."""
    buffer = BytesIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=DPI)
    image = Image.open(buffer).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)


def main(arguments: list[str]) -> None:
    """Write every picture."""
    PICTURES.mkdir(exist_ok=True)
    with TemporaryDirectory() as temporary:
        for name, figure in pictures(Path(arguments[0] if arguments else temporary)):
            save(figure, name)
            print(f"docs/pictures/{name}.png")


if __name__ == "__main__":
    with rc_context(STYLE):
        main(sys.argv[1:])
