"""The `demo` scene: a generated landscape that behaves like an airborne hyperspectral image.

Fields of one crop differ (stage, cover, soil, moisture), vary inside, have texture, mix at their borders, and
lie under uneven light; bands differ in noise. So a classifier that has seen some pixels of each field does
well, one that must classify unseen fields does worse, and neighbouring pixels help.

Material spectra (400 to 2500 nm) are formulas: a smooth continuum with the material's absorption features at
their textbook wavelengths. They are reflectances, not of measured samples.

The scene is bit-identical on every machine: it draws only raw words of PCG64 (the distributions of
``numpy.random.Generator`` may change), rounds spectra to multiples of 2^-16 (exponential functions differ in
the last digit), and applies only operations that IEEE 754 defines exactly to pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.scene import Scene

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROWS, COLS, BANDS = 116, 104, 64
SEED = 2025
COUNTS = 10_000  # stored for a reflectance of 1

Cover = tuple[float, float, Floats, Floats, Floats]
"""Shares of green and dry plants (the rest is ground), and the spectra of green, dry and ground."""

# Letter in the plan below -> name and colour; far apart also with deuteranopia and protanopia.
CLASSES = {
    "C": ("Corn", "#ea9b05"),
    "S": ("Soybean", "#c6f1b1"),
    "W": ("Wheat", "#fef781"),
    "M": ("Meadow", "#23a665"),
    "F": ("Woodland", "#0b592f"),
    "B": ("Bare soil", "#a95d13"),
    "L": ("Water", "#114bf2"),
    "A": ("Asphalt", "#bfbfbf"),
    "R": ("Roof tiles", "#ba3181"),
}
LABELS = "." + "".join(CLASSES)  # a letter's place is its label

# Strips of farmland: first and last u, first v, and the parcels along v as letter and length. u and v count
# pixels across and along the strips, which are rotated by atan(5/12). A lower-case letter is a parcel that
# was not surveyed: it looks like its class but has no label.
STRIPS = (
    (0, 21, -13, "S15 M13 C20 w15 S18 B20"),
    (25, 43, -21, "W16 C17 s23 M14 S20 c17 W20"),
    (44, 62, -26, "m16 S20 B12 C14 W18 C22 s15 M17"),
    (66, 83, -38, "C18 w15 S20 M21 S20 b12 B14 C20"),
    (84, 101, -40, "S20 B13 c18 m10 w15 m18 S17 W20"),
    (105, 120, -28, "M16 s16 W14 B18 c20 m40"),
    (121, 139, -28, "c32 s16 M16 W14 b30"),
)
# Three roads along the strips, in the same format, and one across them (u and v swapped).
ROADS = (
    (22, 24, -12, "A18 a32 A20 a40"),
    (63, 65, -34, "a22 A20 a50 A24 a50"),
    (102, 104, -30, "a40 A16 a26 A40"),
)
CROSS_ROAD = (36, 38, 0, "A20 a25 A14 a30 A20 a40")
RIVER = ((0, 34, "L"), (35, 84, "l"), (85, ROWS - 1, "L"))  # first and last row
# Woods and lakes: ellipses with ragged edges (letter, row, column, half height, half width).
ELLIPSES = (
    ("F", 17, 14, 14, 11),
    ("F", 84, 60, 12, 13),
    ("f", 110, 86, 10, 9),
    ("F", 8, 66, 10, 11),
    ("L", 97, 17, 8, 11),
    ("L", 40, 62, 5, 7),
)
HAMLETS = ((43, 7), (59, 45), (74, 81))  # gardens around a crossing: row, column
HOUSES = ((-6, -4), (-5, 2), (3, -6), (4, 3))  # upper left corners, from there, of roofs of 2 x 2 pixels

# Share of green plants and its spread between parcels, the same of dry plants, and the arguments of
# `green_leaf`: chlorophyll, water, structure, red edge. The rest of a parcel is ground.
GROWTH = {
    "C": (0.49, 0.11, 0.07, 0.05, (1.45, 0.93, 0.47, 716.5)),
    "S": (0.53, 0.11, 0.06, 0.05, (1.15, 0.90, 0.51, 713.5)),
    "W": (0.20, 0.12, 0.48, 0.14, (0.7, 0.60, 0.42, 714.0)),
    "M": (0.48, 0.11, 0.22, 0.12, (1.1, 0.84, 0.46, 715.0)),
    "F": (0.74, 0.08, 0.08, 0.06, (1.7, 1.00, 0.44, 719.0)),
    "B": (0.05, 0.05, 0.12, 0.11, (1.0, 0.80, 0.45, 715.0)),
    "L": (0.02, 0.00, 0.00, 0.00, (1.0, 0.80, 0.45, 715.0)),
    "A": (0.03, 0.00, 0.02, 0.00, (1.0, 0.80, 0.45, 715.0)),
    "R": (0.02, 0.00, 0.02, 0.00, (1.0, 0.80, 0.45, 715.0)),
    ".": (0.45, 0.10, 0.20, 0.10, (1.2, 0.90, 0.46, 716.0)),
}


def make_demo_scene() -> Scene:
    """Generate the scene "demo": 116 x 104 pixels, 64 bands, 9 classes; uint16 reflectance x 10,000."""
    nm = 400.0 + 2100.0 * np.arange(BANDS) / (BANDS - 1)
    draw = _Draws(SEED)
    parcels, letters = _plan(draw)
    reflectance = _reflectance(nm, parcels, letters, draw)
    counts = _sensor(nm, reflectance, draw)
    return Scene(
        name="demo",
        title="Demo (synthetic: a generated landscape, measured by no sensor)",
        cube=counts,
        labels=_survey(parcels, letters),
        class_names=tuple(name for name, _ in CLASSES.values()),
        colors=tuple(color for _, color in CLASSES.values()),
        label_codes=tuple(range(1, len(CLASSES) + 1)),
        wavelengths_nm=nm,
        sensor="none (generated)",
        synthetic=True,
        notes=("This scene is generated, not measured: scores on it say nothing about real land.",),
    )


class _Draws:
    """Random numbers from raw words of PCG64, which NumPy guarantees to be stable."""

    def __init__(self, seed: int) -> None:
        self._words = np.random.PCG64(seed)

    def uniform(self, *shape: int) -> Floats:
        """Uniform from 0 to 1."""
        words = self._words.random_raw(int(np.prod(shape, dtype=np.int64)))
        return np.asarray((words >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(shape)

    def between(self, low: float, high: float) -> float:
        """One number, uniform from `low` to `high`."""
        return low + (high - low) * float(self.uniform(1)[0])

    def normal(self, *shape: int) -> Floats:
        """Nearly standard normal, within 3.5 deviations: the sum of the four quarters of a word."""
        words = self._words.random_raw(int(np.prod(shape, dtype=np.int64)))
        quarters = [(words >> np.uint64(16 * i)) & np.uint64(0xFFFF) for i in range(4)]
        total = (quarters[0] + quarters[1] + quarters[2] + quarters[3]).astype(np.float64)
        return np.asarray((total - 131070.0) / 37837.23).reshape(shape)

    def smooth(self, cell: int) -> Floats:
        """Smooth noise ``(ROWS, COLS)`` of deviation about 1 and a scale of `cell` pixels."""
        knots = self.normal(ROWS // cell + 2, COLS // cell + 2) * 1.5
        row, col = np.arange(ROWS), np.arange(COLS)
        down, right = ((row % cell) / cell)[:, None], (col % cell) / cell
        down, right = down * down * (3 - 2 * down), right * right * (3 - 2 * right)
        top, left = (row // cell)[:, None], col // cell
        upper = knots[top, left] * (1 - right) + knots[top, left + 1] * right
        lower = knots[top + 1, left] * (1 - right) + knots[top + 1, left + 1] * right
        return upper * (1 - down) + lower * down


def _plan(draw: _Draws) -> tuple[Ints, list[str]]:
    """Return the parcel number of each pixel, and each parcel's letter."""
    row, col = np.mgrid[:ROWS, :COLS].astype(np.int64)
    u, v = (12 * col + 5 * row) // 13, (12 * row - 5 * col) // 13
    parcels = np.zeros((ROWS, COLS), np.int64)
    letters = ["."]

    def lay(mask: NDArray[np.bool_], letter: str) -> None:
        letters.append(letter)
        parcels[mask] = len(letters) - 1

    def lay_strip(across: Ints, along: Ints, first: int, last: int, start: int, plan: str) -> None:
        for word in plan.split():
            end = start + int(word[1:])
            lay((across >= first) & (across <= last) & (along >= start) & (along < end), word[0])
            start = end

    for strip in STRIPS:
        lay_strip(u, v, *strip)
    ragged = draw.smooth(5)
    for letter, y, x, high, wide in ELLIPSES:
        distance = ((row - y) / high) ** 2 + ((col - x) / wide) ** 2
        lay(distance < 1 + (0.16 if letter in "Ff" else 0.05) * ragged, letter)
    from_river = np.abs(col - 78 - (row - 40) ** 2 // 160)
    for first, last, letter in RIVER:
        lay((from_river <= 3) & (row >= first) & (row <= last), letter)
    for y, x in HAMLETS:
        lay((row - y) ** 2 + (col - x) ** 2 < 81 + 14 * ragged, ".")
    for road in ROADS:
        lay_strip(u, v, *road)
    lay_strip(v, u, *CROSS_ROAD)
    for y, x in HAMLETS:
        for down, right in HOUSES:
            top, left = y + down, x + right
            lay((row >= top) & (row < top + 2) & (col >= left) & (col < left + 2), "R")
    return parcels, letters


def _survey(parcels: Ints, letters: list[str]) -> Ints:
    """Label the surveyed fields without their rims."""
    around = np.pad(parcels, 1, mode="edge")
    inner = np.ones(parcels.shape, bool)
    for down in range(3):
        for right in range(3):
            inner &= around[down : down + ROWS, right : right + COLS] == parcels
    labels = np.array([max(LABELS.find(letter), 0) for letter in letters], np.int64)[parcels]
    narrow = np.isin(labels, [LABELS.index("A"), LABELS.index("R")])  # all rim
    labels[~inner & ~narrow] = 0
    return labels


def _cover(nm: Floats, letter: str, draw: _Draws) -> Cover:
    """Draw the materials of one parcel."""
    kind = letter.upper()
    chlorophyll, water, stage, litter = (draw.between(-1.0, 1.0) for _ in range(4))
    dry = dry_plant(nm, brightness=draw.between(0.32, 0.46), age=draw.between(0.6, 1.3))
    ground = soil(
        nm,
        brightness=draw.between(0.27, 0.38),
        moisture=draw.between(0.0, 0.45),
        iron=draw.between(0.3, 0.8),
        clay=draw.between(0.3, 0.8),
    )
    age = draw.between(0.0, 1.0)
    if kind == "L":
        ground = open_water(nm, turbidity=0.1 + 0.6 * age)
    elif kind == "A":
        ground = asphalt(nm, age=0.2 + 0.7 * age)
    elif kind == "R":
        ground = roof_tile(nm, redness=0.75 + 0.35 * age)
    elif kind == "F":
        ground = 0.5 * ground  # in the shade of the crowns
    grown, stages, withered, litters, leaf = GROWTH[kind]
    green = green_leaf(
        nm,
        chlorophyll=leaf[0] + 0.4 * chlorophyll,
        water=leaf[1] + 0.15 * water,
        structure=leaf[2],
        edge=leaf[3],
    )
    return grown + stages * stage, withered + litters * litter, green, dry, ground


def _reflectance(nm: Floats, parcels: Ints, letters: list[str], draw: _Draws) -> Floats:
    """Mix the materials of each pixel under uneven light: ``(ROWS, COLS, BANDS)``."""
    covers = [_cover(nm, letter, draw) for letter in letters]
    kinds = np.array([letter.upper() for letter in letters])[parcels]
    row, col = np.mgrid[:ROWS, :COLS].astype(np.int64)
    across = (12 * col + 5 * row) // 13

    green = np.array([cover[0] for cover in covers])[parcels]
    dry = np.array([cover[1] for cover in covers])[parcels]
    plants = ~np.isin(kinds, ["L", "A", "R"])
    patchy = 0.07 * draw.smooth(9) + 0.11 * draw.normal(ROWS, COLS)
    patchy += np.where(kinds == "C", 0.13 * (across % 4 - 1.5), 0.0)  # rows of corn
    patchy += np.where(kinds == "W", 0.08 * (across % 7 < 2), 0.0)  # tramlines
    green = np.clip(green + np.where(plants, patchy, 0.01 * draw.normal(ROWS, COLS)), 0.0, 0.95)
    dry = np.clip(
        dry + np.where(plants, 0.06 * draw.smooth(7) + 0.08 * draw.normal(ROWS, COLS), 0.0), 0.0, 1.0 - green
    )

    mixed = green[..., None] * np.array([cover[2] for cover in covers])[parcels]
    mixed += dry[..., None] * np.array([cover[3] for cover in covers])[parcels]
    mixed += (1.0 - green - dry)[..., None] * np.array([cover[4] for cover in covers])[parcels]

    slope = 1.0 + 0.10 * (row / ROWS - 0.5) - 0.12 * (col / COLS - 0.5) + 0.07 * draw.smooth(19)
    crowns = np.where(kinds == "F", 0.20 * draw.normal(ROWS, COLS), 0.05 * draw.normal(ROWS, COLS))
    cloud = np.clip(1.6 - ((row - 92) / 26) ** 2 - ((col - 84) / 34) ** 2 + 0.2 * draw.smooth(8), 0.0, 1.0)
    sun = np.clip((slope + crowns) * (1.0 - 0.3 * cloud), 0.15, 1.5)
    skylight = 0.06 * (550.0 / nm) * (550.0 / nm)  # blue, and the same in the shade
    return _blur(mixed * (sun[..., None] + skylight))


def _blur(cube: Floats) -> Floats:
    """Apply the sensor's point spread function, [1 4 1] / 6 along both axes."""
    padded = np.pad(cube, ((1, 1), (0, 0), (0, 0)), mode="edge")
    cube = (padded[:-2] + 4.0 * padded[1:-1] + padded[2:]) / 6.0
    padded = np.pad(cube, ((0, 0), (1, 1), (0, 0)), mode="edge")
    return (padded[:, :-2] + 4.0 * padded[:, 1:-1] + padded[:, 2:]) / 6.0


def _sensor(nm: Floats, reflectance: Floats, draw: _Draws) -> NDArray[np.uint16]:
    """Add noise (high where water vapour absorbs) and stripes, and round to counts."""
    vapour = water_vapour(nm)
    floor = 0.006 + 0.010 * (nm / 2500.0) * (nm / 2500.0) + 0.03 * vapour
    noise = draw.normal(ROWS, COLS, BANDS) * (floor + 0.0045 * np.sqrt(reflectance))
    stripes = 0.0015 * draw.normal(1, COLS, BANDS)
    measured = (reflectance * (1.0 - 0.6 * vapour) + noise + stripes) * COUNTS
    return np.clip(np.round(measured), 0, 65535).astype(np.uint16)


def green_leaf(
    nm: Floats,
    *,
    chlorophyll: float = 1.0,
    water: float = 1.0,
    structure: float = 0.48,
    edge: float = 715.0,
) -> Floats:
    """Living leaves: green peak, red edge at `edge` nm, infrared plateau `structure`, liquid water bands."""
    visible = 0.035 + (0.10 / (1.0 + chlorophyll)) * _bump(nm, 552, 36)
    plateau = structure * _rise(nm, edge, 14) * (1.0 - 0.42 * _rise(nm, 1330, 60))
    return _rounded((visible + plateau) * _liquid_water(nm, water))


def dry_plant(nm: Floats, *, brightness: float = 0.40, age: float = 1.0) -> Floats:
    """Straw, ripe and withered plants: a slow rise, cellulose and lignin bands at 2100 and 2300 nm."""
    continuum = 0.06 + brightness * (0.55 * _rise(nm, 620, 90) + 0.45 * _rise(nm, 900, 160))
    fibre = 1.0 - age * (0.16 * _bump(nm, 2100, 60) + 0.12 * _bump(nm, 2310, 60) + 0.06 * _bump(nm, 1730, 40))
    return _rounded(continuum * fibre * _liquid_water(nm, 0.25))


def soil(
    nm: Floats, *, brightness: float = 0.30, moisture: float = 0.2, iron: float = 0.5, clay: float = 0.5
) -> Floats:
    """Bare soil: a convex rise, iron oxide at 500 and 880 nm, clay at 2200 nm; `moisture` darkens it."""
    continuum = brightness * (0.30 + 0.45 * _rise(nm, 680, 130) + 0.35 * _rise(nm, 1250, 260))
    minerals = (1.0 - iron * (0.22 * _bump(nm, 500, 60) + 0.12 * _bump(nm, 880, 70))) * (
        1.0 - clay * 0.18 * _bump(nm, 2205, 35)
    )
    return _rounded(continuum * minerals * (1.0 - 0.5 * moisture) * _liquid_water(nm, 0.1 + 0.6 * moisture))


def open_water(nm: Floats, *, turbidity: float = 0.3) -> Floats:
    """Lakes and rivers: bright in blue-green, and in the near infrared only where turbid."""
    clear = 0.045 * (1.0 - _rise(nm, 600, 40)) + 0.006
    mud = turbidity * (0.07 * _bump(nm, 585, 90) + 0.03 * _bump(nm, 810, 40))
    return _rounded(clear + mud)


def asphalt(nm: Floats, *, age: float = 0.5) -> Floats:
    """Road surface: dark and flat, brighter with `age`, hydrocarbon bands at 1720 and 2310 nm while new."""
    continuum = 0.07 + 0.10 * age * (0.4 + 0.6 * _rise(nm, 900, 300))
    oil = 1.0 - (1.0 - age) * (0.08 * _bump(nm, 1720, 40) + 0.12 * _bump(nm, 2310, 50))
    return _rounded(continuum * oil)


def roof_tile(nm: Floats, *, redness: float = 1.0) -> Floats:
    """Fired clay: dark blue-green, steep at 580 nm, iron oxide at 870 nm, bright infrared."""
    continuum = 0.07 + 0.24 * redness * _rise(nm, 585, 22) + 0.10 * _rise(nm, 1100, 150)
    return _rounded(continuum * (1.0 - 0.16 * redness * _bump(nm, 870, 80) - 0.08 * _bump(nm, 2205, 50)))


def water_vapour(nm: Floats) -> Floats:
    """Absorptance of water vapour in the air: near 1 at 1380 and 1880 nm, less at 940 and 1130 nm."""
    weak = 0.35 * _bump(nm, 940, 22) + 0.35 * _bump(nm, 1130, 26)
    return _rounded(weak + 0.97 * _bump(nm, 1380, 36) + 0.98 * _bump(nm, 1880, 52))


def _liquid_water(nm: Floats, amount: float) -> Floats:
    """Transmittance of water within the material."""
    weak = 0.08 * _bump(nm, 970, 40) + 0.14 * _bump(nm, 1200, 55)
    strong = 0.62 * _bump(nm, 1450, 85) + 0.80 * _bump(nm, 1940, 110) + 0.45 * _bump(nm, 2550, 190)
    return np.asarray(1.0 - np.minimum(amount * (weak + strong), 0.95))


def _bump(nm: Floats, centre: float, width: float) -> Floats:
    """A Gaussian of height 1 with standard deviation `width`, in nm."""
    return np.asarray(np.exp(-0.5 * np.square((nm - centre) / width)))


def _rise(nm: Floats, centre: float, width: float) -> Floats:
    """A logistic step from 0 to 1."""
    return np.asarray(1.0 / (1.0 + np.exp((centre - nm) / width)))


def _rounded(spectrum: Floats) -> Floats:
    return np.asarray(np.round(spectrum * 65536.0) / 65536.0)
