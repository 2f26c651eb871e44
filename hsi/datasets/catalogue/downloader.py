"""Which web addresses files are fetched from, and where these may send us on to.

A file is known by its hash, so that no mirror has to be trusted; still none may lead to this machine's own
files, nor from an encrypted connection to a plain one.

Fetching the files of a benchmark scene: mirrors in turn, resumable, hash checked.
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
from hsi.io.signals import signals_wait

if TYPE_CHECKING:
    import requests


_SCHEMES = ("https", "http")  # the safer first


def in_order(urls: Iterable[str]) -> list[str]:
    """Return web addresses with the encrypted ones first, else as they stand; others are left out."""
    known = [url for url in urls if _scheme(url) in _SCHEMES]
    return sorted(known, key=lambda url: _SCHEMES.index(_scheme(url)))


def wrong_turn(answer: requests.Response) -> str:
    """Return in words why the way to an answer is refused, "" where it is not.

    What `requests` follows are http and https alone; it refuses any other address itself.
    """
    way = [_scheme(one.url) for one in (*answer.history, answer)]
    for before, after in itertools.pairwise(way):
        if before == "https" and after != "https":
            return "sends on from an encrypted connection to a plain one"
    return ""


def _scheme(url: str) -> str:
    return urlsplit(url).scheme.lower()


Progress = Callable[[str, int, "int | None"], None]
"""Called with a file's name, the bytes on disk so far, and the whole size in bytes (None while not known)."""

_CHUNK = 1 << 14  # bytes; what a broken connection loses at most
_TIMEOUT_S = (10.0, 60.0)  # to connect, between two chunks
_MOST_BYTES = 16 << 30  # of a file whose size is not known: no mirror may fill the disk
_ATTEMPTS = 20  # on one mirror, as long as each brings the file further


class _MirrorError(Exception):
    """One mirror did not give the file; the text says why, and whether it could be reached at all."""

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
    """Return the folder that a scene's files are saved in: a folder of its name in the first data root."""
    return data_roots(data_root)[0] / entry.name


def missing_files_message(entry: SceneEntry, data_root: str | Path | None = None) -> str:
    """Return the sentence for a scene whose files are not there: what to run, or which file to put where."""
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
        ours = path == target and file.urls and file.sha256  # a file elsewhere is its owner's business
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
    for url in in_order(file.urls):
        try:
            _from_mirror(url, file, target, progress)
        except _MirrorError as error:
            failures.append((urlsplit(url).netloc, error))
        except OSError as error:
            raise DownloadError(
                f"{target} cannot be written ({error.strerror or error}); make room, and the same command "
                "goes on where it stopped, or choose another folder with --data-root."
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

    A ``.part`` stays only where it is a good beginning of the file.
    """
    part = target.with_name(target.name + ".part")
    continued = part.exists()
    _fetch(url, part, file, progress)
    if file_sha256(part) != file.sha256:
        part.unlink()
        if not continued:
            raise _MirrorError("another file (its SHA-256 is wrong)")
        _from_mirror(
            url, file, target, progress
        )  # the first half may have been another file: once more, whole
        return
    with signals_wait():
        with part.open("rb+") as whole:
            os.fsync(whole.fileno())
        os.replace(part, target)


def _fetch(url: str, part: Path, file: SceneFile, progress: Progress | None) -> None:
    """Bring `part` to its whole length, in several requests where the connection breaks."""
    import requests

    total = None
    for _ in range(_ATTEMPTS):
        had = _size(part)
        headers = {"User-Agent": "hsi (hyperspectral classification)", "Accept-Encoding": "identity"}
        if had:
            headers["Range"] = f"bytes={had}-"
        try:
            with requests.get(url, stream=True, timeout=_TIMEOUT_S, headers=headers) as answer:
                total = _receive(answer, part, had, file, progress)
        except requests.RequestException as error:
            if _size(part) > had:
                continue
            reached = not isinstance(error, (requests.ConnectionError, requests.Timeout))
            if reached and had and file.size is not None:
                break  # named below, with what is missing
            raise _MirrorError(f"the connection failed ({type(error).__name__})", reached=reached) from None
        if not part.exists():
            continue  # what was there cannot be continued: afresh
        if total is None or _size(part) in (had, total):
            break
    _check_arrived(part, file.size or total)


def _receive(
    answer: requests.Response, part: Path, had: int, file: SceneFile, progress: Progress | None
) -> int | None:
    """Write one answer to the end of `part` (afresh where the server sends all); return the whole size."""
    if refused := wrong_turn(answer):
        raise _MirrorError(refused)
    if answer.status_code == 416 and answer.headers.get("Content-Range") == f"bytes */{had}":
        return had  # nothing was missing
    if answer.status_code == 416:
        part.unlink()
        return None
    if answer.status_code not in (200, 206):
        page = " and an HTML page" if "html" in answer.headers.get("Content-Type", "") else ""
        raise _MirrorError(f"HTTP {answer.status_code}{page}")
    if answer.status_code == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {had}-"):
        raise _MirrorError("an answer that does not continue the file")
    start = had if answer.status_code == 206 else 0
    length = answer.headers.get("Content-Length", "")
    total = start + int(length) if length.isdecimal() and "Content-Encoding" not in answer.headers else None
    done = start
    with part.open("ab" if start else "wb") as out:
        for chunk in answer.iter_content(_CHUNK):
            out.write(chunk)
            done += len(chunk)
            if done > (file.size or _MOST_BYTES):
                break  # its hash can no longer be right
            if progress is not None:
                progress(file.file, done, total or file.size)
    return total


def _check_arrived(part: Path, size: int | None) -> None:
    """Name what arrived if it cannot be the file; a good beginning is kept, anything else is removed."""
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
