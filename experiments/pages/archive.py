"""What mapping a whole archive of scenes takes: patches, arithmetic, hours, bytes, money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hsi.errors import ConfigError
from hsi.inference.tiles import SceneBlocks
from hsi.io.text import read_toml
from hsi.maps.map_product import MapProduct

GB, TB = 1e9, 1e12
TERA = 1e12
HOUR = 3600.0


@dataclass(frozen=True)
class Range:
    """An interval; `low` equals `high` for an exact number."""

    low: float
    high: float

    def times(self, other: Range | float) -> Range:
        """Return the product, low with low and high with high."""
        by = other if isinstance(other, Range) else Range(other, other)
        return Range(self.low * by.low, self.high * by.high)

    def plus(self, other: Range) -> Range:
        """Return the sum."""
        return Range(self.low + other.low, self.high + other.high)


@dataclass(frozen=True)
class Assumption:
    """One entry of the file of assumptions."""

    name: str
    range: Range
    unit: str
    source: str


def read_assumptions(path: Path) -> dict[str, Assumption]:
    """Read the file of assumptions.

    Raises
    ------
    ConfigError
        For an entry without a unit, a source, or a `value` or `low` and `high` that are numbers, 0 or more.
    """
    found = {}
    for name, entry in read_toml(path).items():
        low = entry.get("value", entry.get("low"))
        high = entry.get("value", entry.get("high"))
        if not (isinstance(low, int | float) and isinstance(high, int | float) and 0 <= low <= high):
            raise ConfigError(f"'{name}' in {path.name} needs a value, or low and high, 0 or more.")
        if not (entry.get("unit") and entry.get("from")):
            raise ConfigError(f"'{name}' in {path.name} needs a unit, and 'from': where it comes from.")
        found[name] = Assumption(name, Range(float(low), float(high)), entry["unit"], entry["from"])
    return found


@dataclass(frozen=True)
class Archive:
    """Scenes of one size, and the cost of reading and storing them, from the assumptions."""

    assumptions: Mapping[str, Assumption]

    def value(self, name: str) -> float:
        """Return an assumption that is one number."""
        return self.assumptions[name].range.high

    def range(self, name: str) -> Range:
        """Return an assumption."""
        return self.assumptions[name].range

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns and bands of a scene."""
        return int(self.value("rows")), int(self.value("cols")), int(self.value("bands"))

    @property
    def pixels(self) -> float:
        """Pixels of a scene, each of which is a patch."""
        rows, cols, _ = self.shape
        return rows * cols

    @property
    def patches(self) -> float:
        """Patches of all scenes."""
        return self.value("scenes") * self.pixels

    @property
    def bytes_read(self) -> float:
        """Bytes of all cubes."""
        return self.patches * self.value("bands") * self.value("bytes_a_value")

    @property
    def bytes_written(self) -> float:
        """Bytes of all maps, not compressed."""
        return self.patches * self._layer("map").dtype.itemsize

    @property
    def bytes_of_probabilities(self) -> float:
        """Bytes of the probability of each class, if they are written too."""
        return self.patches * self._layer("proba").dtype.itemsize * self.value("classes")

    @cached_property
    def read_twice(self) -> float:
        """Share of a cube that is read more than once, since tiles have margins."""
        rows, cols, bands = self.shape
        dtype = np.dtype(f"u{int(self.value('bytes_a_value'))}")
        cube = np.broadcast_to(np.zeros((), dtype), self.shape)  # takes no memory, and is never read
        patch = int(self.value("patch"))
        blocks = SceneBlocks(cube, np.asarray, bands, patch)
        margin = patch // 2
        read = 0
        for tile in blocks.tiles(int(self.value("classes"))):
            height = min(rows, tile.bottom + margin) - max(0, tile.top - margin)
            width = min(cols, tile.right + margin) - max(0, tile.left - margin)
            read += height * width
        return read / (rows * cols) - 1

    @property
    def reading_usd(self) -> Range:
        """Price of reading all cubes from an object store."""
        requests = self.bytes_read / (1e6 * self.value("request_size"))
        asked = requests / 1e6 * self.value("request_price")
        return self.range("read_price").times(self.bytes_read / GB).plus(Range(asked, asked))

    @property
    def keeping_usd(self) -> float:
        """Price of keeping all maps."""
        return self.bytes_written / GB * self.value("store_price") * self.value("store_months")

    def _layer(self, kind: str) -> MapProduct:
        rows, cols, _ = self.shape
        return MapProduct(kind, rows, cols, ("",) * int(self.value("classes")), ())


@dataclass(frozen=True)
class MappingJob:
    """All scenes mapped by one network.

    Attributes
    ----------
    macs
        Multiply-adds of one patch.
    patches_a_core
        Patches per second of one core; None if no CPU was measured.
    patches_a_gpu, gpu_measured
        Patches per second of one GPU, low to high; whether measured or estimated.
    """

    archive: Archive
    name: str
    macs: int
    patches_a_core: float | None
    patches_a_gpu: Range
    gpu_measured: bool

    @property
    def all_macs(self) -> float:
        """Multiply-adds of all patches."""
        return self.macs * self.archive.patches

    @property
    def core_hours(self) -> float | None:
        """Hours of one core."""
        return self.archive.patches / self.patches_a_core / HOUR if self.patches_a_core else None

    @property
    def gpu_hours(self) -> Range:
        """Hours of one GPU."""
        rate = self.patches_a_gpu
        return Range(self.archive.patches / rate.high / HOUR, self.archive.patches / rate.low / HOUR)

    def usd(self, hours: Range, price: str) -> Range:
        """Return the price of some hours, of reading and of keeping the maps."""
        keeping = Range(self.archive.keeping_usd, self.archive.keeping_usd)
        return hours.times(self.archive.range(price)).plus(self.archive.reading_usd).plus(keeping)

    def seconds_a_scene(self, rate: float) -> dict[str, float]:
        """Return the seconds for each part of a scene, at `rate` patches per second."""
        archive = self.archive
        scenes = archive.value("scenes")
        return {
            "computing": archive.pixels / rate,
            "reading": archive.bytes_read / scenes / GB / archive.value("network"),
            "writing": archive.bytes_written / scenes / GB / archive.value("disk"),
        }

    def bottleneck(self, rate: float) -> tuple[str, float]:
        """Return the slowest part, and how many times longer than the next one it takes."""
        parts = sorted(self.seconds_a_scene(rate).items(), key=lambda part: -part[1])
        return parts[0][0], parts[0][1] / parts[1][1]


def estimated_rate(macs: int, archive: Archive) -> Range:
    """Return patches a second of one GPU from its assumed peak and the assumed share of it."""
    return archive.range("gpu_share").times(archive.value("gpu_peak") * TERA / (2 * macs))
