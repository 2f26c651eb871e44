"""Text from files reaches the terminal as text: no markup, no control character."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hsi.commands import screen
from hsi.commands.app import run
from hsi.io.text import plain

HOSTILE = (
    "[red]x[/red]",
    "[link=file:///etc/passwd]x[/link]",
    "[/]",
    "a\\",
    "a\\[b]",
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b2J",
    "\u202egnp.exe",
    "a\rb",
    "x\x08y",
    "\x00",
)


def printed(capsys: pytest.CaptureFixture[str], text: str) -> str:
    screen.out().print(screen.table(text, [(text, False), ("n", True)], [[text, 1]]))
    screen.note(text)
    screen.out().print(text, markup=False, highlight=False, soft_wrap=True)
    shown = capsys.readouterr()
    return shown.out + shown.err


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_does_nothing(capsys: pytest.CaptureFixture[str], text: str) -> None:
    shown = printed(capsys, text)
    assert shown.count(plain(text)) == 5  # title, header, cell, note, line
    steering = {one for one in shown if unicodedata.category(one) in ("Cc", "Cf")} - {"\n"}
    assert not steering


@given(st.text(st.characters(codec=None), max_size=60))
@example("\ud800")
def test_nothing_that_steers_is_left(text: str) -> None:
    clean = plain(text)
    clean.encode("utf-8")
    left = {one for one in clean if unicodedata.category(one) in ("Cc", "Cs")} | (
        set("\u202e\u2066") & set(clean)
    )
    assert left <= {"\n"}
    assert plain(clean) == clean
    if text.isprintable():
        assert clean == text


def test_errors_and_class_names_of_a_hostile_scene(tmp_path, capsys, monkeypatch) -> None:
    cube = np.random.default_rng(0).integers(0, 999, (9, 8, 5)).astype(np.uint16)
    np.save(tmp_path / "cube.npy", cube)
    np.save(tmp_path / "labels.npy", np.arange(72).reshape(9, 8).astype(np.uint8) % 3)
    lines = 'cube = "cube.npy"\nlabels = "labels.npy"\n[classes]\n1 = "\\u001b[2J[red]Grass"\n'
    (tmp_path / "scene.toml").write_text(lines, encoding="utf-8")
    split = ["split", "--dataset", str(tmp_path / "scene.toml"), "--scheme", "per-class", "--per-class", "3"]
    assert run([*split, "--patch", "3"]) == 0
    shown = capsys.readouterr()
    assert "\\x1b[2J[red]Grass" in shown.out
    assert "\x1b" not in shown.out + shown.err
    (tmp_path / "scene.toml").write_text('"\\u001b[2J" = 1\n', encoding="utf-8")
    assert run(split) == 2
    shown = capsys.readouterr()
    assert "unknown key '\\x1b[2J'" in shown.err
    assert "\x1b" not in shown.out + shown.err
