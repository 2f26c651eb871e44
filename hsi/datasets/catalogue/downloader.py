"""Downloading the files of a benchmark scene: mirrors in turn, resumable, verified by hash.

Files are verified by SHA-256, so no mirror has to be trusted. Only http and https are used, and a redirect
from https to http is refused.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hsi.datasets.catalogue.entries import SceneEntry, SceneFile, scene_entry
from hsi.datasets.catalogue.locate import data_roots, find_scene_files
from hsi.datasets.formats.recognise import HEAD_BYTES, identify
from hsi.errors import DownloadError
from hsi.io.locks import clear_stale_lock, file_lock
from hsi.io.signals import defer_signals

if TYPE_CHECKING:
    import requests


_SCHEMES = ("https", "http")  # the safer first


def usable_urls(urls: Iterable[str]) -> list[str]:
    """Return the https addresses, then the http ones, each in their order; others are left out."""
    known = [url for url in urls if _scheme(url) in _SCHEMES]
    return sorted(known, key=lambda url: _SCHEMES.index(_scheme(url)))


def redirect_error(response: requests.Response) -> str:
    """Return why the redirects to a response are refused, or "". `requests` follows http and https only."""
    schemes = [_scheme(one.url) for one in (*response.history, response)]
    for before, after in itertools.pairwise(schemes):
        if before == "https" and after != "https":
            return "sends on from an encrypted connection to a plain one"
    return ""


def _scheme(url: str) -> str:
    return urlsplit(url).scheme.lower()


Progress = Callable[[str, int, "int | None"], None]
"""Called with a file's name, the bytes on disk, and its size in bytes (None while not known)."""

_CHUNK_BYTES = 1 << 14  # at most this much is lost where the connection breaks
_TIMEOUT_S = (10.0, 60.0)  # to connect, between two chunks
_MOST_BYTES = 16 << 30  # of a file whose size is not known
_ATTEMPTS = 20  # on one mirror, as long as each makes progress


class _MirrorError(Exception):
    """A mirror did not give the file, and why; `reached`: whether there was a connection."""

    def __init__(self, reason: str, *, reached: bool = True) -> None:
        super().__init__(reason)
        self.reached = reached


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def download_folder(entry: SceneEntry, data_root: str | Path | None = None) -> Path:
    """Return the folder of a scene's files, ``NAME`` in the first data root."""
    return data_roots(data_root)[0] / entry.name


def missing_files_message(entry: SceneEntry, data_root: str | Path | None = None) -> str:
    """Return the message for a scene whose files are missing: what to run, or which file to put where."""
    files = " and ".join(file.file for file in entry.files)
    looked = " and ".join(str(root) for root in data_roots(data_root))
    by_hand = f"put {files} into {download_folder(entry, data_root)}"
    elsewhere = "name the folder that has them with --data-root or HSI_DATA"
    if any(file.urls for file in entry.files):
        how = f"run 'hsi download {entry.name}', or {by_hand}, or {elsewhere}"
    else:
        how = f"{by_hand}, or {elsewhere} ({entry.by_hand or 'no mirror is known'}; source: {entry.source})"
    return f"The files of {entry.title} are not in {looked}: {how}."


def download_scene(
    name: str,
    *,
    data_root: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Fetch the files of a benchmark scene, unless they are there already.

    Each mirror is tried in turn. What has arrived stays in ``FILE.part`` and is continued by the next
    attempt. A file gets its final name only when its SHA-256 is right; one without a known hash is never
    fetched.

    Parameters
    ----------
    name
        Short name of the scene, any letter case.
    data_root
        Folder for the data; default ``HSI_DATA``, else the user's cache folder. The files go into ``NAME/``
        in it.
    force
        Fetch again what is there.
    progress
        Called after each chunk.

    Returns
    -------
    list of Path
        Cube and labels (one path where one file holds both); for a scene without files, an empty list.

    Raises
    ------
    SceneNotFoundError
        For an unknown name.
    DownloadError
        When no mirror gave a file: the reason of each, and which file to put where by hand.
    InUseError
        When another process is fetching the same file.
    """
    entry = scene_entry(name)
    found = None if force else find_scene_files(entry, data_root)
    have = {} if found is None else {entry.cube: found.cube, entry.labels: found.labels}
    folder = download_folder(entry, data_root)
    paths = []
    for file in entry.files:
        target = folder / file.file
        path = have.get(file, target)
        ours = path == target and file.urls and file.sha256  # others are not replaced
        clear_stale_lock(_lock_of(target))
        if force or not path.is_file() or (ours and file_sha256(path) != file.sha256):
            _download_file(entry, file, target, progress)
            path = target
        paths.append(path)
    return paths


def _download_file(entry: SceneEntry, file: SceneFile, target: Path, progress: Progress | None) -> None:
    verified = f" (SHA-256 {file.sha256})" if file.sha256 else ""
    if target.name != file.file or target.parent.name != entry.name:
        raise DownloadError(
            f"'{entry.name}/{file.file}' would be saved outside the folder for scenes; rename it."
        )
    if not file.urls or not file.sha256:
        why = entry.by_hand or ("no hash of it is known" if file.urls else "no mirror is known")
        raise DownloadError(
            f"{file.file} cannot be fetched automatically: {why} (source: {entry.source}), then save it as "
            f"{target}{verified}."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(
            f"The folder {target.parent} cannot be made ({error.strerror or error}); choose another with "
            "--data-root."
        ) from None
    busy = f"Another process is fetching '{target}'; wait until it ends, or stop it first."
    with file_lock(_lock_of(target), busy):
        _from_mirrors(entry, file, target, progress)


def _lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _from_mirrors(entry: SceneEntry, file: SceneFile, target: Path, progress: Progress | None) -> None:
    failures: list[tuple[str, _MirrorError]] = []
    for url in usable_urls(file.urls):
        try:
            _from_mirror(url, file, target, progress)
        except _MirrorError as error:
            failures.append((urlsplit(url).netloc, error))
        except OSError as error:
            raise DownloadError(
                f"{target} cannot be written ({error.strerror or error}); make room and run the same "
                "command again to resume, or choose another folder with --data-root."
            ) from None
        else:
            return
    by_hand = (
        f"fetch it by hand from {file.urls[0]} (or see {entry.source}) and save it as {target} "
        f"(SHA-256 {file.sha256})"
    )
    if not any(error.reached for _, error in failures):
        raise DownloadError(f"No mirror of {file.file} can be reached (is this machine offline?): {by_hand}.")
    reasons = "; ".join(f"{host}: {error}" for host, error in failures)
    raise DownloadError(f"No mirror gave {file.file} ({reasons}): {by_hand}.")


def _from_mirror(url: str, file: SceneFile, target: Path, progress: Progress | None) -> None:
    """Fetch one file from one mirror and give it its final name, or raise _MirrorError.

    A ``.part`` is kept only if the download can be resumed from it.
    """
    part = target.with_name(target.name + ".part")
    resumed = part.exists()
    _fetch(url, part, file, progress)
    if file_sha256(part) != file.sha256:
        part.unlink()
        if not resumed:
            raise _MirrorError("another file (its SHA-256 is wrong)")
        _from_mirror(url, file, target, progress)  # the old part may have been of another file
        return
    with defer_signals():
        with part.open("rb+") as whole:
            os.fsync(whole.fileno())
        os.replace(part, target)


def _fetch(url: str, part: Path, file: SceneFile, progress: Progress | None) -> None:
    """Download to `part`, in several requests if the connection breaks."""
    import requests

    total = None
    for _ in range(_ATTEMPTS):
        had = _size(part)
        headers = {"User-Agent": "hsi (hyperspectral classification)", "Accept-Encoding": "identity"}
        if had:
            headers["Range"] = f"bytes={had}-"
        try:
            with requests.get(url, stream=True, timeout=_TIMEOUT_S, headers=headers) as response:
                total = _receive(response, part, had, file, progress)
        except requests.RequestException as error:
            if _size(part) > had:
                continue
            reached = not isinstance(error, (requests.ConnectionError, requests.Timeout))
            if reached and had and file.size is not None:
                break  # reported below, with the missing bytes
            raise _MirrorError(f"the connection failed ({type(error).__name__})", reached=reached) from None
        if not part.exists():
            continue  # the old part was refused: start again
        if total is None or _size(part) in (had, total):
            break
    _check_arrived(part, file.size or total)


def _receive(
    response: requests.Response, part: Path, had: int, file: SceneFile, progress: Progress | None
) -> int | None:
    """Append a response to `part` (overwrite it if the server sends all); return the size of the file."""
    if refused := redirect_error(response):
        raise _MirrorError(refused)
    if response.status_code == 416 and response.headers.get("Content-Range") == f"bytes */{had}":
        return had  # nothing was missing
    if response.status_code == 416:
        part.unlink()
        return None
    if response.status_code not in (200, 206):
        page = " and an HTML page" if "html" in response.headers.get("Content-Type", "") else ""
        raise _MirrorError(f"HTTP {response.status_code}{page}")
    if response.status_code == 206 and not response.headers.get("Content-Range", "").startswith(
        f"bytes {had}-"
    ):
        raise _MirrorError("an answer that does not continue the file")
    start = had if response.status_code == 206 else 0
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdecimal() and "Content-Encoding" not in response.headers else None
    done = start
    with part.open("ab" if start else "wb") as out:
        for chunk in response.iter_content(_CHUNK_BYTES):
            out.write(chunk)
            done += len(chunk)
            if done > (file.size or _MOST_BYTES):
                break  # its hash can no longer be right
            if progress is not None:
                progress(file.file, done, total or file.size)
    return total


def _check_arrived(part: Path, size: int | None) -> None:
    """Raise _MirrorError unless `part` is complete; it is removed if it is another kind of file."""
    head = b""
    if part.exists():
        with part.open("rb") as file:
            head = file.read(HEAD_BYTES)
    found = identify(head)
    if found.startswith(("a ", "an ")):
        part.unlink(missing_ok=True)
        raise _MirrorError(f"{found} in place of the file")
    if size is not None and _size(part) < size:
        raise _MirrorError(f"only {_size(part):,} of {size:,} bytes (run the command again to continue)")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
