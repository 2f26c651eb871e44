"""XML metadata: texts, numbers and bands in it, and files that mean harm."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

import hsi.datasets.products.xml_metadata as xml_metadata
from hsi.datasets.products.xml_metadata import by_number, column, iso_time, number_in, read_xml
from hsi.errors import FileFormatError


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_every_encoding_is_read_and_no_entity(tmp_path, encoding):
    path = tmp_path / "m.xml"
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    path.write_bytes(f"{head}<a><b>é</b></a>".encode(encoding))
    assert read_xml(path).findtext("b") == "é"
    path.write_bytes(f'{head}<!DOCTYPE a [<!ENTITY e "xx">]><a>&e;</a>'.encode(encoding))
    with pytest.raises(FileFormatError, match="declares a document type"):
        read_xml(path)


@pytest.mark.parametrize("text", [b"", b"<a>", b"\x00\xff", b'<?xml version="1.0" encoding="no-such"?><a/>'])
def test_damage_is_one_sentence(tmp_path, text):
    path = tmp_path / "m.xml"
    path.write_bytes(text)
    with pytest.raises(FileFormatError, match=r"m\.xml is damaged"):
        read_xml(path)


def test_a_file_that_is_too_long_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(xml_metadata, "MOST_XML", 10)
    path = tmp_path / "m.xml"
    path.write_text("<a>123456789</a>")
    with pytest.raises(FileFormatError, match="MiB"):
        read_xml(path)


def element(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("<a><b> 1.5e2 </b></a>", 150.0),
        ("<a><b>nan</b></a>", None),
        ("<a><b>1e999</b></a>", None),
        ("<a><b/></a>", None),
        ("<a/>", None),
        ("<a><b>x</b></a>", None),
    ],
)
def test_numbers(text, number):
    assert number_in(element(text), "b") == number


def test_bands_are_sorted_by_number(tmp_path):
    bands = [element(f"<band><n>{n}</n><w>{10 * n}</w></band>") for n in (3, 1, 2)]
    rows = by_number(((band.findtext("n"), band) for band in bands), tmp_path)
    assert column(rows, "w") == (10.0, 20.0, 30.0)
    assert column(rows, "missing") == ()
    assert list(by_number(((None, band) for band in bands), tmp_path).values()) == bands


@pytest.mark.parametrize("words", [("1", "1"), ("1", "x"), ("1", "-2"), ("1", "9" * 5000)])
def test_numbers_of_bands_must_tell_them_apart(tmp_path, words):
    with pytest.raises(FileFormatError, match="counts its bands wrongly"):
        by_number(((word, element("<band/>")) for word in words), tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ang20220224t210144_rfl", "2022-02-24T21:01:44Z"),
        ("2023-06-01T10:30:05.123Z", "2023-06-01T10:30:05Z"),
        ("PRS_L2D_STD_20230601103000_", "2023-06-01T10:30:00Z"),
        ("DT0000000001_20231301T103000", ""),
        ("", ""),
    ],
)
def test_times(text, expected):
    assert iso_time(text) == expected


def test_a_namespace_hides_no_name(tmp_path):
    path = tmp_path / "m.xml"
    path.write_text('<a xmlns="http://a.example/1" xmlns:p="http://a.example/2"><b><p:c>3</p:c></b></a>')
    assert read_xml(path).findtext("b/c") == "3"
