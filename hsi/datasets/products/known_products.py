"""The table of products: what recognises one by its files, and what opens it.

To add a product, write a file with the two functions and add a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
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
from hsi.errors import FileFormatError


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
    """Return the name of the product that a file or folder belongs to, and its main file; None for others.

    A folder without a product of its own stands for its only subfolder, as unpacked archives have it.

    Raises
    ------
    FileFormatError
        When a folder holds several products.
    """
    found = ((name, known.find(path)) for name, known in PRODUCTS.items())
    known_files = ((name, main) for name, main in found if main is not None)
    if not path.is_dir():
        return next(known_files, None)
    inside = list(known_files)
    if len(inside) > 1:
        titles = " and ".join(PRODUCTS[name].title for name, _ in inside)
        raise FileFormatError(
            f"{path} holds products of several kinds ({titles}); name a file of one, such as "
            f"{inside[0][1].name}."
        )
    if inside:
        return inside[0]
    entries = list(islice(path.iterdir(), 2))
    if len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink():
        return next(
            ((name, main) for name, known in PRODUCTS.items() if (main := known.find(entries[0]))), None
        )
    return None
