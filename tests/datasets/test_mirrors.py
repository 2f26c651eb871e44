from __future__ import annotations

import requests

from hsi.datasets.catalogue import list_scenes
from hsi.datasets.mirrors import in_order, wrong_turn


def test_encrypted_mirrors_come_first_and_other_addresses_never() -> None:
    urls = ["http://a/x", "file:///etc/passwd", "https://b/x", "ftp://c/x", "HTTPS://d/x", "/etc/passwd"]
    assert in_order(urls) == ["https://b/x", "HTTPS://d/x", "http://a/x"]
    for entry in list_scenes():
        for file in entry.files:
            assert all(url.startswith("https://") for url in file.urls)
            assert len(file.sha256) == 64


def test_from_https_to_http_is_a_wrong_turn() -> None:
    way = [requests.Response() for _ in range(2)]
    way[0].url, way[1].url = "https://a/x", "http://b/x"
    way[1].history = [way[0]]
    assert "plain" in wrong_turn(way[1])
    way[0].url = "http://a/x"
    assert wrong_turn(way[1]) == ""
