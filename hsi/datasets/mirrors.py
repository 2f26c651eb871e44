"""Which web addresses files are fetched from, and where these may send us on to.

A file is known by its hash, so that no mirror has to be trusted; still none may lead to this machine's own
files, nor from an encrypted connection to a plain one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import requests

_SCHEMES = ("https", "http")  # the safer first


def in_order(urls: Iterable[str]) -> list[str]:
    """Return web addresses with the encrypted ones first, else as they stand; others are left out."""
    known = [url for url in urls if _scheme(url) in _SCHEMES]
    return sorted(known, key=lambda url: _SCHEMES.index(_scheme(url)))


def wrong_turn(answer: requests.Response) -> str:
    """Return in words why the way to an answer is refused, "" where it is not.

    What `requests` follows are http and https alone; it refuses any other address itself.
    """
    way = [_scheme(one.url) for one in (*answer.history, answer)]
    for before, after in itertools.pairwise(way):
        if before == "https" and after != "https":
            return "sends on from an encrypted connection to a plain one"
    return ""


def _scheme(url: str) -> str:
    return urlsplit(url).scheme.lower()
