"""Text from files, made harmless: what would steer a terminal or a page is shown as an escape instead."""

from __future__ import annotations

import re

# Both sets of control characters but for the line feed, and what turns text's direction or hides in it.
_STEERING = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def plain(text: str) -> str:
    """Return a text without control characters; each is shown as Python would write it."""
    return _STEERING.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
