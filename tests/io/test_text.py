"""Tables that were written before: rows in their order, and a sentence for what is no such table."""

from __future__ import annotations

import pytest

from hsi.errors import FileFormatError
from hsi.io.text import csv_text, read_rows


def test_rows_come_in_their_order_with_columns_that_were_not_asked_for(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('a,b,c\n1,"x, y",3\n\n4,,6\n', encoding="utf-8")
    rows = read_rows(path, ["c", "a"], "hsi sweep")
    assert rows == [{"a": "1", "b": "x, y", "c": "3"}, {"a": "4", "b": "", "c": "6"}]
    path.write_text("a,b\n", encoding="utf-8")
    assert read_rows(path, ["a"], "hsi sweep") == []


@pytest.mark.parametrize("content", [b"", b"b,c\n1,2\n"])
def test_a_missing_column_is_named(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="lacks the column 'a'; write it anew with 'hsi sweep'"):
        read_rows(path, ["a"], "hsi sweep")


def test_what_cannot_be_read_is_told(tmp_path):
    (tmp_path / "bytes.csv").write_bytes(b"a\n\xff\xfe\n")
    (tmp_path / "field.csv").write_text("a\n" + "x" * 200_000, encoding="utf-8")
    for name in ("bytes.csv", "field.csv", "nowhere.csv", "."):
        with pytest.raises(FileFormatError, match="cannot be read"):
            read_rows(tmp_path / name, ["a"], "hsi sweep")


def test_rows_are_written_as_they_are_read(tmp_path):
    rows = [{"a": "1", "b": 'x, "y"'}, {"b": "two\nlines", "other": "left out"}]
    (tmp_path / "a.csv").write_text(csv_text(["a", "b"], rows), encoding="utf-8", newline="")
    assert read_rows(tmp_path / "a.csv", ["a", "b"], "hsi sweep") == [
        {"a": "1", "b": 'x, "y"'},
        {"a": "", "b": "two\nlines"},
    ]
    assert csv_text(["a"], []) == "a\n"
