"""A map as a page for people: title, legend, scale bar, north arrow, coordinates, how it was made."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Polygon, Rectangle
from numpy.typing import NDArray

from hsi.datasets.scene import UNLABELLED, to_rgb
from hsi.errors import ConfigError, InputError
from hsi.figures.style import PAGE_INCHES, STYLE, Picture
from hsi.io.files import written_whole
from hsi.maps.map_product import NO_DATA_NAME, MapProduct
from hsi.maps.pixel_size import pixel_size

LAYOUT_SUFFIXES = (".png", ".pdf")
_DPI = 300

# Lengths in inches, sizes of letters in points.
_MARGIN, _GAP = 0.25, 0.2
_TALLEST, _NARROWEST = 8.0, 4.5  # of the map itself, and of the page
_WIDE = 1.7  # a map wider than this many times its height has its legend below
_SIDE = (1.6, 2.3)  # width of the column beside the map
_SWATCH, _LINE = 0.13, 0.165
_TITLE, _TEXT, _SMALL = 11.0, 7.5, 6.5
_BAR, _LEAST_BAR = 1.25, 0.4  # longest scale bar, and about the shortest
_BAR_TEXT = 0.3  # half of the text at its end
_ARROW = 0.42  # its length
_FURNITURE = 0.75  # height of scale bar and north arrow
_INK, _GREY = "0.1", "0.35"


def draw_layout(
    product: MapProduct, labels: NDArray[Any], *, title: str, subtitle: str = "", notes: Sequence[str] = ()
) -> Figure:
    """Draw a label map with all that a reader needs to understand it.

    The legend has the classes that occur, and pixels not recognised or without data where there are any. The
    scale bar is in metres or kilometres, or in pixels where their size is not known; the north arrow follows
    the geotransform, also where south is up or the image is rotated, and is left out without one. Pixels that
    are not square on the ground are drawn in their proportions. Long names, titles and notes go on in new
    lines; the page grows as high as it has to.

    Parameters
    ----------
    product
        The label map's size, names, colours, georeference.
    labels
        ``(rows, cols)``, as of `MapProduct.values`.
    title, subtitle
        Above the map.
    notes
        Below the map, a paragraph each: model, scene, date, accuracy, what was applied.

    Raises
    ------
    InputError
        When labels and product differ in size.
    """
    rows, cols = labels.shape
    if (rows, cols) != (product.rows, product.cols):
        raise InputError(f"The labels are {labels.shape}, the map {(product.rows, product.cols)} pixels.")
    size = pixel_size(product.georeference, rows, cols)
    entries = _entries(product, labels)
    high = rows * size[1] / (cols * size[0]) if size else rows / cols
    with rc_context(STYLE):
        figure = Picture(figsize=(PAGE_INCHES, PAGE_INCHES))
        ruler = _Ruler()
        below = 1 / high > _WIDE
        names = [name for _, name in entries]
        if not below:
            side = min(
                max(*(ruler.width(name, _TEXT) for name in names), 0.0) + 1.6 * _SWATCH + 0.05, _SIDE[1]
            )
            side = max(side, _SIDE[0])
            legend = _Legend(ruler, entries, side, columns=1)
            below = legend.height + _FURNITURE + _GAP > _TALLEST  # too many classes for one column
        across = PAGE_INCHES - 2 * _MARGIN - (0 if below else side + _GAP)
        map_width = min(across, _TALLEST / high)
        map_height = map_width * high
        page = max(_NARROWEST, PAGE_INCHES if below else map_width + _GAP + side + 2 * _MARGIN)
        inner = page - 2 * _MARGIN
        if below:
            beside = inner - (_BAR + _BAR_TEXT + 2 * _GAP + _ARROW)
            legend = _Legend(ruler, entries, beside, columns=None)
        head = [*ruler.wrap(title, inner, _TITLE, weight="bold")]
        second = ruler.wrap(subtitle, inner, _TEXT)
        place = ruler.wrap(_place(product, size), inner, _SMALL)
        foot = [line for note in notes for line in ruler.wrap(note, inner, _SMALL)]
        title_height = 0.2 * len(head) + 0.15 * len(second) + 0.08
        foot_height = 0.115 * (len(place) + len(foot)) + 0.1
        if below:
            body = map_height + _GAP + max(legend.height, _FURNITURE)
        else:
            body = max(map_height, legend.height + _GAP + _FURNITURE)
        height = 2 * _MARGIN + title_height + body + foot_height
        figure.set_size_inches(page, height)
        paper = figure.add_axes((0, 0, 1, 1))
        paper.set(xlim=(0, page), ylim=(0, height))
        paper.set_axis_off()
        top = height - _MARGIN
        for line in head:
            paper.text(_MARGIN, top, line, fontsize=_TITLE, weight="bold", va="top", color=_INK)
            top -= 0.2
        for line in second:
            paper.text(_MARGIN, top, line, fontsize=_TEXT, va="top", color=_GREY)
            top -= 0.15
        top -= 0.08
        left = _MARGIN + (max(0.0, inner - map_width) / 2 if below else 0)
        _draw_map(figure, _colored(product, labels), (left, top - map_height, map_width, map_height))
        scale = (size[0] if size else 1.0) * cols / map_width
        if below:
            under = top - map_height - _GAP
            legend.draw(paper, _MARGIN, under)
            corner = (_MARGIN + inner - _BAR - _BAR_TEXT - _GAP - _ARROW, under)
        else:
            legend.draw(paper, _MARGIN + map_width + _GAP, top)
            corner = (_MARGIN + map_width + _GAP, top - max(map_height - _FURNITURE, legend.height + _GAP))
        transform = (product.georeference or {}).get("transform")
        if transform is not None:
            pixel = (map_width / cols, map_height / rows)
            _draw_arrow(paper, corner, north_direction(transform, pixel))
            corner = (corner[0] + _ARROW + _GAP, corner[1])
        free = _MARGIN + inner - corner[0] - _BAR_TEXT
        longest = scale * min(_BAR, free, max(_LEAST_BAR, 0.6 * map_width))
        if size or longest >= 1:
            bar = choose_scale_bar(longest, metres=size is not None)
            _draw_scale_bar(paper, corner, bar, bar.length / scale)
        line_top = _MARGIN + foot_height - 0.1
        for number, line in enumerate((*place, *foot)):
            paper.text(_MARGIN, line_top - 0.115 * number, line, fontsize=_SMALL, va="top", color=_GREY)
    return figure


def save_layout(figure: Figure, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a layout as .png or .pdf, whole or not at all; a PNG also gets `metadata` as text chunks.

    Raises
    ------
    ConfigError
        For another suffix.
    StorageError
        When the disk is full or read-only.
    """
    suffix = path.suffix.lower()
    if suffix not in LAYOUT_SUFFIXES:
        raise ConfigError(
            f"A layout is written as {' or '.join(LAYOUT_SUFFIXES)}, which '{path}' does not end with."
        )
    words = dict(metadata or {}) if suffix == ".png" else None
    with written_whole(path) as temporary, rc_context(STYLE):
        figure.savefig(temporary, format=suffix[1:], dpi=_DPI, metadata=words)


def _entries(product: MapProduct, labels: NDArray[Any]) -> list[tuple[str, str]]:
    """Return colour and name of what occurs, classes first."""
    present = set(np.flatnonzero(np.bincount(labels.ravel())).tolist())
    found = sorted(
        (entry for entry in product.legend if entry.value in present), key=lambda one: one.value or 1e9
    )
    entries = [(entry.color, entry.name) for entry in found]
    if int(product.no_data) in present:
        entries.append((UNLABELLED, NO_DATA_NAME))
    return entries


def _colored(product: MapProduct, labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return red, green and blue of each pixel, of every n-th one where they are more than a page shows."""
    step = max(1, -(-max(labels.shape) // int(_DPI * 2 * _TALLEST)))
    colors = np.zeros((int(max(product.no_data, len(product.class_names))) + 1, 3), np.uint8)
    for entry in product.legend:
        colors[entry.value] = to_rgb((entry.color,))[0]
    return colors[labels[::step, ::step]]


def _draw_map(figure: Figure, image: NDArray[np.uint8], box: tuple[float, float, float, float]) -> None:
    page, height = figure.get_size_inches()
    left, bottom, width, high = box
    axes = figure.add_axes((left / page, bottom / height, width / page, high / height))
    axes.imshow(image, interpolation="nearest", aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, linewidth=0.5, color=_INK)


class _Ruler:
    """Measures text, in inches, and breaks it into lines."""

    def __init__(self) -> None:
        # At the resolution of the printed page: letters are as wide as whole pixels.
        self._renderer = FigureCanvasAgg(Figure(figsize=(1, 1), dpi=_DPI)).get_renderer()

    def width(self, text: str, size: float, weight: str = "normal") -> float:
        font = FontProperties(size=size, weight=weight)
        wide, _, _ = self._renderer.get_text_width_height_descent(text, font, False)
        return float(wide) / _DPI

    def wrap(self, text: str, width: float, size: float, weight: str = "normal") -> list[str]:
        """Break a text between words, and within those that are wider than a line."""
        lines: list[str] = []
        line = ""
        for word in re.sub(r"[\x00-\x20\x7f-\x9f]+", " ", text).split():
            longer = f"{line} {word}".strip()
            if self.width(longer, size, weight) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            line = word
            while self.width(line, size, weight) > width:
                starts = [line[:end] for end in range(1, len(line) + 1)]
                fits = max(1, bisect_right(starts, width, key=lambda start: self.width(start, size, weight)))
                lines.append(line[:fits])
                line = line[fits:]
        return [*lines, line] if line else lines


class _Legend:
    """Swatches with names in columns, filled one after the other."""

    def __init__(
        self, ruler: _Ruler, entries: list[tuple[str, str]], width: float, *, columns: int | None
    ) -> None:
        indent = 1.6 * _SWATCH
        if columns is None:
            longest = max((ruler.width(name, _TEXT) for _, name in entries), default=0.0)
            columns = max(1, min(int((width + _GAP) / (min(longest, 1.7) + indent + _GAP)), len(entries)))
        self._step = (width + _GAP) / columns
        room = self._step - indent - _GAP
        self._texts = [(color, ruler.wrap(name, room, _TEXT) or [""]) for color, name in entries]
        lines = sum(len(text) for _, text in self._texts)
        most = max(-(-lines // columns), max((len(text) for _, text in self._texts), default=1))
        while self._columns(most) > columns:
            most += 1
        self._most, self.height = most, most * _LINE

    def _columns(self, most: int) -> int:
        """Return how many columns of `most` lines the entries take, none of them broken."""
        columns, used = 1, 0
        for _, text in self._texts:
            if used + len(text) > most:
                columns, used = columns + 1, 0
            used += len(text)
        return columns

    def draw(self, paper: Axes, left: float, top: float) -> None:
        """Draw the legend, whose upper left corner is given."""
        used = 0
        for color, text in self._texts:
            if used + len(text) > self._most:
                left, used = left + self._step, 0
            y = top - used * _LINE
            swatch = Rectangle(
                (left, y - _SWATCH), _SWATCH, _SWATCH, facecolor=color, edgecolor="0.3", linewidth=0.4
            )
            paper.add_patch(swatch)
            for number, line in enumerate(text):
                middle = y - _SWATCH / 2 - number * _LINE
                paper.text(
                    left + 1.6 * _SWATCH, middle, line, fontsize=_TEXT, va="center_baseline", color=_INK
                )
            used += len(text)


class ScaleBar(NamedTuple):
    """A scale bar: its length in the units of the ground, and the texts at its middle and end."""

    length: float
    middle: str
    end: str


def choose_scale_bar(longest: float, *, metres: bool) -> ScaleBar:
    """Return the longest bar of 1, 2 or 5 times a power of ten, at most `longest` metres or pixels.

    >>> choose_scale_bar(2700, metres=True)
    ScaleBar(length=2000.0, middle='1', end='2 km')
    """
    power = 10.0 ** math.floor(math.log10(longest))
    length = max(step * power for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9))
    if not metres:
        return ScaleBar(length, f"{length / 2:g}", f"{length:g} {'pixel' if length == 1 else 'pixels'}")
    unit, name = (1000.0, "km") if length >= 1000 else (1.0, "m")
    return ScaleBar(length, f"{length / 2 / unit:g}", f"{length / unit:g} {name}")


def north_direction(transform: Sequence[float], pixel: tuple[float, float]) -> tuple[float, float]:
    """Return where north is on the page, as a unit vector to the right and upwards.

    `transform` is (a, b, c, d, e, f) as of `hsi.Scene`; `pixel` are width and height of a pixel on the page.
    """
    a, b, _, d, e, _ = tuple(transform)[:6]
    cols, rows = np.linalg.solve(np.array([[a, b], [d, e]], np.float64), np.array([0.0, 1.0]))
    right, up = float(cols * pixel[0]), float(-rows * pixel[1])
    length = math.hypot(right, up)
    return right / length, up / length


def _draw_arrow(paper: Axes, box: tuple[float, float], north: tuple[float, float]) -> None:
    """Draw a north arrow below a corner, left and top."""
    middle = np.array([box[0] + _ARROW / 2, box[1] - 0.36])
    right, up = north
    ahead, aside = np.array([right, up]) * _ARROW / 2, np.array([-up, right]) * 0.09
    tail, notch = middle - ahead, middle - 0.6 * ahead
    for side, fill in ((aside, _INK), (-aside, "white")):
        points = [middle + ahead, tail + side, notch]
        paper.add_patch(Polygon(points, closed=True, facecolor=fill, edgecolor=_INK, linewidth=0.6))
    x, y = middle + ahead * (1 + 0.2 / _ARROW)
    paper.text(x, y, "N", fontsize=_TEXT, weight="bold", ha="center", va="center", color=_INK)


def _draw_scale_bar(paper: Axes, corner: tuple[float, float], bar: ScaleBar, length: float) -> None:
    """Draw a scale bar of `length` inches below a corner, left and top."""
    left, y = corner[0], corner[1] - 0.45
    for number, fill in enumerate((_INK, "white")):
        start = (left + number * length / 2, y)
        paper.add_patch(Rectangle(start, length / 2, 0.05, facecolor=fill, edgecolor=_INK, linewidth=0.6))
    texts = [(0.0, "0"), (length, bar.end)]
    if length > 2 * _LEAST_BAR:
        texts.append((length / 2, bar.middle))
    for x, text in texts:
        paper.text(left + x, y - 0.04, text, fontsize=_SMALL, ha="center", va="top", color=_INK)


_WKT_NAME = re.compile(r'^\s*\w+\s*\[\s*"([^"]+)"')


def _place(product: MapProduct, size: tuple[float, float] | None) -> str:
    """Return a line on coordinates: system, upper left corner, size of a pixel."""
    georeference = product.georeference or {}
    if georeference.get("transform") is None:
        return f"{product.rows} x {product.cols} pixels, no coordinates"
    _, _, c, _, _, f = tuple(georeference["transform"])[:6]
    corner = f"upper left corner x {c:.10g}, y {f:.10g}"
    pixels = f"{product.rows} x {product.cols} pixels"
    if size:
        pixels += f" of {size[0]:.3g} m x {size[1]:.3g} m"
    return f"{_system_name(str(georeference.get('crs') or ''))}; {corner}; {pixels}"


def _system_name(crs: str) -> str:
    """Return the name of a coordinate system, and its code if it has one."""
    if not crs:
        return "Coordinate system not named"
    try:
        from rasterio import CRS
        from rasterio.errors import CRSError
    except ImportError:
        return crs[:60]
    try:
        known = CRS.from_user_input(crs)
        name, code = _WKT_NAME.match(known.to_wkt()), known.to_epsg()
    except CRSError:
        return crs[:60]
    words = name[1] if name else "Coordinate system"
    return f"{words} (EPSG:{code})" if code else words
