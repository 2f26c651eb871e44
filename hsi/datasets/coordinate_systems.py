"""Texts that name a coordinate system, as files of others have them.

GDAL takes the name of a file or a web address for a coordinate system, too, and opens it. No file may make
this program do so: only codes of authorities, WKT and plain PROJ texts are let through (our decision).
"""

from __future__ import annotations

import re

_MOST = 50_000  # letters
_CODE = re.compile(
    r"(?:EPSG|ESRI|OGC|CRS|IGNF|IAU_2015|SR-ORG):{1,2}[A-Za-z0-9]+"
    r"|urn:(?:ogc|x-ogc):def:crs:[A-Za-z]+:[\w.]*:[A-Za-z0-9]+"
    r"|https?://(?:www\.)?opengis\.net/def/crs/[A-Za-z]+/[\w.]+/[A-Za-z0-9]+",
    re.IGNORECASE,
)
_WKT = re.compile(
    r"\s*(?:GEOGCS|PROJCS|GEOCCS|LOCAL_CS|VERT_CS|COMPD_CS|GEOGCRS|GEODCRS|GEODETICCRS|GEOGRAPHICCRS|PROJCRS"
    r"|PROJECTEDCRS|COMPOUNDCRS|ENGCRS|ENGINEERINGCRS|BOUNDCRS|DERIVEDPROJCRS)\s*[\[(]",
    re.IGNORECASE,
)
_PROJ = re.compile(r"(?:\s*\+(?!init|nadgrids|geoidgrids|grids|file)[A-Za-z_0-9]+(?:=[\w.,+-]*)?)+\s*")


def names_a_system(text: str) -> bool:
    """Whether a text is a code (``EPSG:32616``, OGC's URN or address), WKT, or a PROJ text without files."""
    if len(text) > _MOST:
        return False
    return bool(_CODE.fullmatch(text.strip()) or _WKT.match(text) or _PROJ.fullmatch(text))
