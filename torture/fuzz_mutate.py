"""Random damage to bytes, as by a broken disk, a truncated download or an attacker."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_STACKED = 4  # mutations of one input
_LONGEST = 1 << 18  # bytes of an input, which bounds time and memory
_HEAD = 768  # bytes at the start, where headers are and half of all mutations fall

_NUMBERS = (
    *range(-2, 4), 7, 8, 63, 64, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1,
    2**31, 2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip
_WORDS = (
    b"-1", b"0", b"1", b"1e999", b"-1e999", b"nan", b"-inf", b"Infinity", b"NaN", b"null", b"true",
    b"[]", b"{}", b'""', b'"x"', b"9" * 30, b"9" * 320, b"9" * 5000, b"0.5", b"-0.0", b"1e-320",
    b"\x00", b"\xff\xfe", b"\\u0000", b'"\\u0000"', b'"../../x"', b'"/etc/passwd"', b'"~nobody/x"',
    b'"' + b"a" * 5000 + b'"', b"[" * 3000, b"{" * 3000, b"[" * 60 + b"]" * 60, b"a." * 3000 + b"b",
    b"1979-05-27", b"07:32:00", b"\x1b[31m", b"'", b'"""', b"=", b"[[grid]]", b"[x]", b"{a = 1}", b"#",
    b"<", b"&lol;", b"%s%n", b"\xe2\x80\xae",
)  # fmt: skip
_TOKEN = re.compile(rb"[-+]?[0-9][0-9.eE+-]*|[A-Za-z_]+|\"[^\"\n]*\"")


@dataclass(frozen=True)
class Packed:
    """A file made of named parts by `pack`, so that damaged parts still get valid checksums."""

    parts: Mapping[str, bytes]
    pack: Callable[[Mapping[str, bytes]], bytes]


def mutate(content: bytes | Packed, chance: random.Random, others: list[bytes]) -> bytes:
    """Return damaged bytes; parts of a packed file are mostly damaged before packing.

    ``chance`` makes all decisions; ``others`` are files of the same kind, to splice with.
    """
    if isinstance(content, Packed):
        if chance.random() < 0.75:
            hit = chance.choice(sorted(content.parts))
            damaged = _stacked(content.parts[hit], chance, list(content.parts.values()))
            return content.pack({**content.parts, hit: damaged})
        content = content.pack(content.parts)
    return _stacked(content, chance, others)


def _stacked(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    text = b"\x00" not in data[:4096]
    kinds = _TEXT if text else _BINARY
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, MAX_STACKED))):
        data = chance.choice(kinds)(data, chance, others)[:_LONGEST]
    return data


def _place(data: bytes, chance: random.Random) -> int:
    end = min(len(data), _HEAD) if chance.random() < 0.5 else len(data)
    return chance.randrange(end) if end else 0


def _flip(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        if changed:
            changed[_place(data, chance)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _random_bytes(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    at = _place(data, chance)
    length = chance.choice((1, 1, 2, 4, 8, 32))
    return data[:at] + chance.randbytes(length) + data[at + length :]


def _number(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """Overwrite bytes that may be a length, a size or an offset."""
    width = chance.choice((1, 2, 4, 4, 8))
    value = chance.choice((*_NUMBERS, len(data), len(data) - 1, len(data) + 1)) % (1 << 8 * width)
    at = _place(data, chance)
    if chance.random() < 0.7:
        at -= at % min(width, 4)
    stored = value.to_bytes(width, chance.choice(("little", "big")))
    return data[:at] + stored + data[at + width :]


def _cut(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    return data[: _place(data, chance)]


def _repeat(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    at, length = _place(data, chance), chance.randint(1, 200)
    return data[:at] + data[at : at + length] * chance.choice((2, 3, 50)) + data[at + length :]


def _drop(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    at = _place(data, chance)
    return data[:at] + data[at + chance.choice((1, 2, 4, 8, 100)) :]


def _swap(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    first, second = sorted((_place(data, chance), _place(data, chance)))
    length = chance.choice((4, 8, 16, 64))
    one, two = data[first : first + length], data[second : second + length]
    return data[:first] + two + data[first + length : second] + one + data[second + length :]


def _splice(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    other = chance.choice(others) if others else data
    return data[: _place(data, chance)] + other[_place(other, chance) :]


def _token(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """Replace a number, a word or a quoted text by a hard one."""
    found = list(_TOKEN.finditer(data[:20_000]))
    if not found:
        return data + chance.choice(_WORDS)
    hit = chance.choice(found)
    new = chance.choice(_WORDS) if chance.random() < 0.8 else str(chance.choice(_NUMBERS)).encode()
    if hit[0].startswith(b'"') and chance.random() < 0.5:
        new = b'"' + new.replace(b'"', b"") + b'"'
    return data[: hit.start()] + new + data[hit.end() :]


def _insert_word(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    at = _place(data, chance)
    return data[:at] + chance.choice(_WORDS) + data[at:]


def _line(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """Repeat, drop or move a line."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    at = chance.randrange(len(lines))
    line = lines[at]
    kind = chance.random()
    if kind < 0.4:
        lines[at : at + 1] = [line] * chance.choice((2, 2, 100))
    else:
        del lines[at]
        if kind > 0.7:
            lines.insert(chance.randint(0, len(lines)), line)
    return b"".join(lines)


Mutation = Callable[[bytes, random.Random, list[bytes]], bytes]
_BINARY: tuple[Mutation, ...] = (
    _flip, _flip, _random_bytes, _number, _number, _number, _cut, _repeat, _drop, _swap, _splice,
)  # fmt: skip
_TEXT: tuple[Mutation, ...] = (
    _token, _token, _token, _insert_word, _line, _line, _flip, _cut, _repeat, _splice,
)  # fmt: skip
