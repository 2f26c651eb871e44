"""Downloads from a real HTTP server on this machine that can do what bad servers do; see conftest.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from hsi.datasets.catalogue import entries as catalogue
from hsi.datasets.catalogue.downloader import (
    download_scene,
    missing_files_message,
    redirect_error,
    usable_urls,
)
from hsi.datasets.catalogue.entries import SceneEntry, list_scenes
from hsi.errors import DownloadError, SceneNotFoundError

HTML = b"<!DOCTYPE html><html><body>This page has moved</body></html>"

MakeScene = Callable[..., SceneEntry]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_whole_files_arrive_with_progress_and_are_not_fetched_twice(
    server: Any, make_scene: MakeScene, tmp_path: Path
) -> None:
    make_scene("whole")
    seen: list[tuple[str, int, int | None]] = []
    paths = download_scene("TOY", data_root=tmp_path / "data", progress=lambda *step: seen.append(step))
    assert paths == [tmp_path / "data" / "toy" / name for name in ("cube.mat", "gt.mat")]
    assert [path.read_bytes() for path in paths] == [server.files["cube.mat"], server.files["gt.mat"]]
    assert _names(tmp_path / "data" / "toy") == ["cube.mat", "gt.mat"]
    size = len(server.files["cube.mat"])
    assert ("cube.mat", size, size) in seen
    before = len(server.requests)
    assert download_scene("toy", data_root=tmp_path / "data") == paths
    assert len(server.requests) == before
    download_scene("toy", data_root=tmp_path / "data", force=True)
    assert len(server.requests) == before + 2


def test_a_broken_download_is_resumed(server: Any, make_scene: MakeScene, tmp_path: Path) -> None:
    make_scene("cut")
    path = download_scene("toy", data_root=tmp_path)[0]
    assert path.read_bytes() == server.files["cube.mat"]
    starts = [int((wanted or "bytes=0-")[6:-1]) for url, wanted in server.requests if url.startswith("/cut")]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert 3 <= len(starts) <= 6


def test_the_next_call_resumes_the_download(server: Any, make_scene: MakeScene, tmp_path: Path) -> None:
    make_scene("stuck")
    size = len(server.files["cube.mat"])
    with pytest.raises(DownloadError, match=rf"only [\d,]+ of {size:,} bytes \(run the command again"):
        download_scene("toy", data_root=tmp_path)
    assert _names(tmp_path / "toy") == ["cube.mat.part"]
    had = (tmp_path / "toy" / "cube.mat.part").stat().st_size
    assert size // 3 < had < size
    make_scene("whole")
    path = download_scene("toy", data_root=tmp_path)[0]
    assert ("/whole/cube.mat", f"bytes={had}-") in server.requests
    assert path.read_bytes() == server.files["cube.mat"]


def test_a_complete_part_is_taken_as_it_is(server: Any, make_scene: MakeScene, tmp_path: Path) -> None:
    make_scene("whole")
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "cube.mat.part").write_bytes(server.files["cube.mat"])
    assert download_scene("toy", data_root=tmp_path)[0].read_bytes() == server.files["cube.mat"]


@pytest.mark.parametrize("mode", ["whole", "norange"])
@pytest.mark.parametrize("length", [500, 1_000_000])
def test_a_part_of_another_file_is_discarded(
    server: Any, make_scene: MakeScene, tmp_path: Path, mode: str, length: int
) -> None:
    make_scene(mode)
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "cube.mat.part").write_bytes(b"\x01" * length)
    path = download_scene("toy", data_root=tmp_path)[0]
    assert path.read_bytes() == server.files["cube.mat"]
    assert _names(tmp_path / "toy") == ["cube.mat", "gt.mat"]


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("forbidden", "HTTP 403 and an HTML page"),
        ("page", "an HTML page in place of the file"),
        ("wrong", "another file"),
        ("nolength", r"only [\d,]+ of"),
        ("misplaced", "does not continue the file"),
    ],
)
def test_bad_mirrors_are_named_and_the_next_one_is_tried(
    server: Any, make_scene: MakeScene, tmp_path: Path, mode: str, words: str
) -> None:
    entry = make_scene(mode)
    with pytest.raises(DownloadError, match=words) as caught:
        download_scene("toy", data_root=tmp_path)
    message = str(caught.value)
    assert "127.0.0.1" in message
    assert str(tmp_path / "toy" / "cube.mat") in message
    assert entry.cube is not None
    assert entry.cube.sha256 in message
    assert "\n" not in message
    assert "cube.mat" not in _names(tmp_path / "toy")
    make_scene(mode, "whole")
    assert download_scene("toy", data_root=tmp_path)[0].read_bytes() == server.files["cube.mat"]
    assert _names(tmp_path / "toy") == ["cube.mat", "gt.mat"]


def test_wrong_hash_keeps_nothing_and_spares_what_was_there(make_scene: MakeScene, tmp_path: Path) -> None:
    make_scene("wrong")
    with pytest.raises(DownloadError):
        download_scene("toy", data_root=tmp_path)
    assert _names(tmp_path / "toy") == []


def test_a_damaged_file_of_ours_is_fetched_again(server: Any, make_scene: MakeScene, tmp_path: Path) -> None:
    make_scene("whole")
    path = download_scene("toy", data_root=tmp_path)[0]
    path.write_bytes(HTML)
    assert download_scene("toy", data_root=tmp_path)[0].read_bytes() == server.files["cube.mat"]


def test_files_that_people_have_elsewhere_are_used(
    server: Any, make_scene: MakeScene, tmp_path: Path
) -> None:
    make_scene("whole")
    own = tmp_path / "My Data"
    own.mkdir()
    for name, body in server.files.items():
        (own / name.upper()).write_bytes(body)
    assert download_scene("toy", data_root=tmp_path) == [own / "CUBE.MAT", own / "GT.MAT"]
    assert server.requests == []


def test_offline_says_which_file_to_put_where(make_scene: MakeScene, tmp_path: Path) -> None:
    make_scene("http://127.0.0.1:9/cube.mat", "http://no-such-host.invalid/cube.mat")
    with pytest.raises(DownloadError, match=r"offline\?.*fetch it by hand from http://127") as caught:
        download_scene("toy", data_root=tmp_path)
    assert str(tmp_path / "toy" / "cube.mat") in str(caught.value)


def test_a_file_without_a_known_hash_is_never_fetched(
    server: Any, make_scene: MakeScene, tmp_path: Path
) -> None:
    make_scene("whole", verified=False)
    with pytest.raises(DownloadError, match="no hash of it is known"):
        download_scene("toy", data_root=tmp_path)
    assert server.requests == []
    assert _names(tmp_path) == []


@pytest.mark.parametrize("away", ["file:///etc/passwd", "ftp://127.0.0.1/x", "/whole/gt.mat"])
def test_redirects_to_other_schemes_or_files_are_refused(
    server: Any, make_scene: MakeScene, tmp_path: Path, away: str
) -> None:
    server.away = away
    make_scene("away")
    with pytest.raises(DownloadError):
        download_scene("toy", data_root=tmp_path)
    assert "cube.mat" not in _names(tmp_path / "toy")


def test_a_mirror_that_never_ends_is_left(server: Any, make_scene: MakeScene, tmp_path: Path) -> None:
    make_scene("endless")
    with pytest.raises(DownloadError, match="another file"):
        download_scene("toy", data_root=tmp_path)
    assert _names(tmp_path / "toy") == []


@pytest.mark.parametrize("name", ["../cube.mat", "a/cube.mat", "/tmp/cube.mat"])
def test_no_file_leaves_its_folder(
    server: Any, make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    entry = make_scene("whole")
    assert entry.cube is not None
    there = replace(entry, cube=replace(entry.cube, file=name))
    monkeypatch.setattr(catalogue, "_entries", {"toy": there})
    with pytest.raises(DownloadError, match="outside the folder"):
        download_scene("toy", data_root=tmp_path / "root")
    assert server.requests == []


def test_scenes_without_mirrors_say_how_to_obtain_them(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"Houston\.mat cannot be fetched automatically.*register"):
        download_scene("HU", data_root=tmp_path)
    assert _names(tmp_path) == []
    (tmp_path / "HU13").mkdir()
    (tmp_path / "HU13" / "Houston.mat").write_bytes(b"another pack")
    assert download_scene("HU", data_root=tmp_path) == [tmp_path / "HU13" / "Houston.mat"]
    assert "register" in missing_files_message(catalogue.scene_entry("HU"), tmp_path)
    assert download_scene("demo", data_root=tmp_path) == []
    with pytest.raises(SceneNotFoundError, match="Unknown scene"):
        download_scene("nothing", data_root=tmp_path)


def test_a_folder_that_cannot_be_made(make_scene: MakeScene, tmp_path: Path) -> None:
    make_scene("whole")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DownloadError, match=r"cannot be made.*--data-root"):
        download_scene("toy", data_root=tmp_path / "file")


def test_missing_files_message_names_command_and_files(make_scene: MakeScene, tmp_path: Path) -> None:
    entry = make_scene("whole")
    message = missing_files_message(replace(entry, name="IN"), tmp_path)
    assert "hsi download IN" in message
    assert "cube.mat and gt.mat" in message
    assert str(tmp_path / "IN") in message


def test_encrypted_mirrors_come_first_and_other_addresses_never() -> None:
    urls = ["http://a/x", "file:///etc/passwd", "https://b/x", "ftp://c/x", "HTTPS://d/x", "/etc/passwd"]
    assert usable_urls(urls) == ["https://b/x", "HTTPS://d/x", "http://a/x"]
    for entry in list_scenes():
        for file in entry.files:
            assert all(url.startswith("https://") for url in file.urls)
            assert len(file.sha256) == 64


def test_a_redirect_from_https_to_http_is_refused() -> None:
    responses = [requests.Response() for _ in range(2)]
    responses[0].url, responses[1].url = "https://a/x", "http://b/x"
    responses[1].history = [responses[0]]
    assert "plain" in redirect_error(responses[1])
    responses[0].url = "http://a/x"
    assert redirect_error(responses[1]) == ""
