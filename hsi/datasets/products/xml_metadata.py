"""The XML files of metadata that come with products."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree

from hsi.errors import FileFormatError
from hsi.io.size_limits import check_length

MOST_XML = 32 << 20  # bytes; the metadata of real products have a few MB
_MOST_DIGITS = 6


def read_xml(path: Path) -> ElementTree.Element:
    """Return the root of an XML file.

    Raises
    ------
    FileFormatError
        When it is damaged, too long, or declares entities, which could open other files or fill the memory.
    """
    check_length(path, MOST_XML)
    try:
        with path.open("rb") as file:
            return ElementTree.parse(file, ElementTree.XMLParser(target=_PlainTree())).getroot()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        cause = " ".join(str(error).split())[:160]
        raise FileFormatError(f"{path} is damaged ({cause}); unpack or download it again.") from None


class _PlainTree(ElementTree.TreeBuilder):
    def start(self, tag: str, attrs: dict[str, str]) -> ElementTree.Element:
        # A default namespace, which some copies of products declare, would hide every name.
        return super().start(tag.rpartition("}")[2], attrs)

    def end(self, tag: str) -> ElementTree.Element:
        return super().end(tag.rpartition("}")[2])

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("it declares a document type, which the metadata of products never do")


def number_in(element: ElementTree.Element, tag: str) -> float | None:
    """Return a finite number in a child of an element, None where there is none."""
    try:
        value = float(element.findtext(tag, ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def column(rows: Mapping[int, ElementTree.Element], tag: str) -> tuple[float, ...]:
    """Return the numbers in a child of each element; none where one lacks it."""
    values = [number_in(row, tag) for row in rows.values()]
    known = tuple(value for value in values if value is not None)
    return known if len(known) == len(values) else ()


def by_number(
    bands: Iterable[tuple[str | None, ElementTree.Element]], path: Path
) -> dict[int, ElementTree.Element]:
    """Return the elements of bands by their numbers, ascending; those of no number keep their order.

    Raises
    ------
    FileFormatError
        When a number occurs twice, or is none.
    """
    words, elements = [], []
    for word, element in bands:
        words.append((word or "").strip())
        elements.append(element)
    if not all(words):
        return dict(enumerate(elements, start=1))
    numbers = [whole_number(word) for word in words]
    known = [number for number in numbers if number is not None]
    if len(set(known)) < len(numbers):
        raise FileFormatError(f"{path} counts its bands wrongly; unpack or download it again.")
    return dict(sorted(zip(known, elements, strict=True)))


def whole_number(word: str) -> int | None:
    """Return a text as the number of a band, None if it is no such number."""
    return int(word) if word.isdecimal() and len(word) <= _MOST_DIGITS else None


def iso_time(text: str) -> str:
    """Return the first date and time in a text (``20230601T103000``) as ISO 8601 in UTC, or ""."""
    found = _TIME.search(text)
    return "{}-{}-{}T{}:{}:{}Z".format(*found.groups()) if found else ""


_DATE = r"((?:19|20)\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])"
_TIME = re.compile(_DATE + r"[T_ ]?([01]\d|2[0-3]):?([0-5]\d):?([0-5]\d)", re.I)
