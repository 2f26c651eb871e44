"""The class of drawn shapes: which attribute, which codes, which names."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from hsi.datasets.labels.class_field import read_classes
from hsi.errors import FileFormatError

FILE = Path("fields.gpkg")


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(n for row in rows for n in row)}


@pytest.mark.parametrize(
    ("rows", "wanted", "chosen"),
    [
        ([{"id": 1, "a": 2}, {"id": 2, "a": 3}], None, "a"),
        ([{"area": 1.5, "class": 2}, {"area": 7.25, "class": 3}], None, "class"),
        ([{"a": "x", "b": 1}, {"a": "y", "b": 2}, {"a": "y", "b": 3}], None, "a"),
        ([{"a": 1, "b": 1}, {"a": 2, "b": 2}], "B", "b"),
        ([{"a": "1", "c": True}, {"a": "2", "c": False}], None, "a"),
        ([{"class": 5, "n": "x"}, {"class": 5, "n": "x"}], None, "class"),
        ([{"class_id": 4, "class_name": "x"}, {"class_id": 7, "class_name": "y"}], None, "class_id"),
        ([{"class_name": "x", "class_id": 4.0}, {"class_name": "y", "class_id": 7.0}], None, "class_id"),
    ],
)
def test_the_attribute_of_the_class(rows: list[dict], wanted: str | None, chosen: str) -> None:
    assert f"attribute '{chosen}'" in read_classes(FILE, _columns(rows), wanted).notes[0]


@pytest.mark.parametrize(
    ("rows", "wanted", "words"),
    [
        ([{"a": 1, "b": 1}, {"a": 2, "b": 2}], None, "several attributes.*It has: a, b; name the right one"),
        ([{"class": 1, "crop": "x"}, {"class": 1, "crop": "y"}, {"class": 2, "crop": "x"}], None, "several"),
        ([{"a": 1.5}, {"a": 2.5}], None, "no attribute that could"),
        ([{}, {}], None, "It has: none"),
        ([{"crop": 1}, {"crop": 2}], "corp", "no attribute 'corp'.*Did you mean 'crop'"),
        ([{"a": 1.5}, {"a": 2.5}], "a", "neither texts nor whole numbers"),
        ([{"a": True}, {"a": False}], "a", "neither texts nor whole numbers"),
        ([{"a": 10**12}, {"a": 1}], "a", "neither texts nor whole numbers"),
        ([{"a": datetime.date(2020, 1, 2)}, {"a": None}], "a", "neither texts nor whole numbers"),
        ([{"a": {"b": 1}}, {"a": [1]}], "a", "neither texts nor whole numbers"),
    ],
)
def test_an_attribute_that_is_not_clear_is_asked_for(
    rows: list[dict], wanted: str | None, words: str
) -> None:
    with pytest.raises(FileFormatError, match=words):
        read_classes(FILE, _columns(rows), wanted)


def test_whole_numbers_are_codes_however_they_are_stored() -> None:
    for values in ([3, 0, None, -1], [3.0, 0.0, None, -1.0], ["3", "0", "", "-1"], [" 3", "00", None, "-1 "]):
        classes = read_classes(FILE, {"class": values}, None)
        assert classes.codes == [3, 0, None, -1]
        assert classes.names == {}
        assert any(note.startswith("1 features have no 'class'") for note in classes.notes)


def test_texts_are_trimmed_and_numbered_in_alphabetical_order() -> None:
    classes = read_classes(FILE, {"crop": [" soy", "Corn ", "corn", "soy\t", "  ", None, "Öl"]}, None)
    assert classes.names == {1: "Corn", 2: "corn", 3: "soy", 4: "Öl"}
    assert classes.codes == [3, 1, 2, 3, None, None, 4]
    assert [note for note in classes.notes if "differ" in note] == [
        "The classes 'Corn' and 'corn' differ only in case and spaces; they are kept apart."
    ]


def test_names_come_from_the_attribute_that_goes_with_the_codes() -> None:
    columns = {
        "class": [5, 2, 5, 2],
        "owner": ["a", "b", "c", "d"],
        "what": ["wheat", "rye ", "wheat", "rye"],
    }
    classes = read_classes(FILE, columns, None)
    assert (classes.codes, classes.names) == ([5, 2, 5, 2], {5: "wheat", 2: "rye"})
    assert "The names of the classes are those of the attribute 'what'." in classes.notes
    assert read_classes(FILE, {**columns, "what": ["wheat", "rye", "rye", "rye"]}, "class").names == {}
    # With one shape a class any text goes with the codes, so its attribute has to be called a name.
    once = {"class": [1, 2], "owner": ["a", "b"]}
    assert read_classes(FILE, once, "class").names == {}
    assert read_classes(FILE, {**once, "descr": ["x", "y"]}, "class").names == {1: "x", 2: "y"}
