"""How deep tables and lists that were read may be nested, and how large their whole numbers are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DEEPEST = 50  # far more than any honest file; what works with such values recurses
_WHOLE = 1 << 63  # TOML's and most other readers' whole numbers have 64 bits


def check_nesting(value: Any) -> None:
    """Raise ValueError where tables and lists are nested too deeply, or a whole number has over 64 bits."""
    level = [value]
    for _ in range(_DEEPEST):
        deeper: list[Any] = []
        for one in level:
            if isinstance(one, Mapping):
                deeper.extend(one.values())
            elif isinstance(one, list):
                deeper.extend(one)
            elif isinstance(one, int) and not -_WHOLE <= one < _WHOLE:
                raise ValueError("a whole number has more than 64 bits")
        level = deeper
        if not level:
            return
    raise ValueError("it is nested too deeply")
