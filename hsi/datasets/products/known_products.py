"""The table of products: what recognises one by its files, and what opens it.

To add a product, write a file with the two functions and add a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hsi.datasets.products.aviris import find_aviris, open_aviris
from hsi.datasets.products.aviris_netcdf import find_aviris_netcdf, open_aviris_netcdf
from hsi.datasets.products.desis import find_desis, open_desis
from hsi.datasets.products.emit import find_emit, open_emit
from hsi.datasets.products.enmap import find_enmap, open_enmap
from hsi.datasets.products.neon import find_neon, open_neon
from hsi.datasets.products.prisma import find_prisma, open_prisma
from hsi.datasets.products.product import Product
from hsi.datasets.products.tanager import find_tanager, open_tanager


@dataclass(frozen=True)
class KnownProduct:
    """One row: `find` returns the main file of the product that a path belongs to, or None; `open` opens it.

    `find` gets the path of a file or of a folder, and must not read more than a file's first bytes or
    attributes. `open` gets that main file, and whether the sensor's own geometry is wanted (``--raw``).
    """

    title: str
    find: Callable[[Path], Path | None]
    open: Callable[[Path, bool], Product]


PRODUCTS: dict[str, KnownProduct] = {
    "aviris": KnownProduct("AVIRIS Classic, AVIRIS-NG, AVIRIS-3, AVIRIS-5", find_aviris, open_aviris),
    "enmap": KnownProduct("EnMAP L1C, L2A", find_enmap, open_enmap),
    "desis": KnownProduct("DESIS L1B, L1C, L2A", find_desis, open_desis),
    "prisma": KnownProduct("PRISMA L1, L2B, L2C, L2D", find_prisma, open_prisma),
    "emit": KnownProduct("EMIT L1B, L2A", find_emit, open_emit),
    "tanager": KnownProduct("Tanager radiance, surface reflectance", find_tanager, open_tanager),
    "neon": KnownProduct("NEON AOP reflectance", find_neon, open_neon),
    "aviris_netcdf": KnownProduct(
        "AVIRIS-NG, AVIRIS-3, AVIRIS-5 in netCDF", find_aviris_netcdf, open_aviris_netcdf
    ),
}


def find_product(path: Path) -> tuple[str, Path] | None:
    """Return the name of the product that a file or folder belongs to, and its main file; None for others."""
    for name, known in PRODUCTS.items():
        main = known.find(path)
        if main is not None:
            return name, main
    return None
