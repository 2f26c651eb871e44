"""Writers of files for the tests of reading: as MATLAB makes them, ENVI byte by byte, GeoTIFF by rasterio.

And a real HTTP server on this machine that can do what bad servers do, for the tests of downloads.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from scipy.io import savemat

from hsi.datasets.catalogue import downloader as download
from hsi.datasets.catalogue import entries as catalogue
from hsi.datasets.catalogue.entries import SceneEntry, SceneFile, list_scenes
from hsi.datasets.scene import to_lab

# Vienot, Brettel and Mollon 1999: sRGB to the cones, and the cone that is missing from the other two.
_CONES = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
_MISSING = {"protanopia": (0, [0, 2.02344, -2.52581]), "deuteranopia": (1, [0.494207, 0, 1.24827])}


@pytest.fixture(scope="session")
def closest_pair() -> Callable[..., float]:
    """A function of colours: the smallest distance (CIE76) between two, for one kind of colour vision.

    The simulation is that of Vienot et al. 1999, not the one that the package chooses colours by.
    """

    def closest(colors: tuple[str, ...], vision: str = "normal") -> float:
        rgb = np.array([[int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] for color in colors])
        if vision != "normal":
            linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
            cones = linear @ _CONES.T
            place, weights = _MISSING[vision]
            cones[:, place] = cones @ np.array(weights)
            seen = np.clip(cones @ np.linalg.inv(_CONES).T, 0, 1)
            rgb = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
        lab = to_lab(255 * rgb)
        distances = np.linalg.norm(lab[:, None] - lab, axis=-1)
        return float(distances[~np.eye(len(lab), dtype=bool)].min())

    return closest


HTML = b"<!DOCTYPE html><html><body>This page has moved</body></html>"

_MATLAB_CLASS = {"float64": "double", "float32": "single", "bool": "logical"}

_ENVI_TYPES = {"uint8": 1, "int16": 2, "int32": 3, "float32": 4, "float64": 5, "uint16": 12, "uint32": 13}
_ENVI_ORDERS = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}

WriteMat73 = Callable[..., Path]


@pytest.fixture
def write_mat73() -> WriteMat73:
    """A function ``(path, **arrays) -> path`` that writes as MATLAB's ``save -v7.3``: axes reversed."""

    def write(path: Path, **arrays: NDArray[Any]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w", userblock_size=512) as file:
            for name, array in arrays.items():
                stored = array.T if array.dtype != bool else array.T.astype(np.uint8)
                dataset = file.create_dataset(name, data=stored, compression="gzip", compression_opts=1)
                matlab_class = _MATLAB_CLASS.get(array.dtype.name, array.dtype.name)
                dataset.attrs["MATLAB_class"] = np.bytes_(matlab_class)
        header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2024 HDF5 "
        header += b"schema 1.00 ."
        with path.open("r+b") as file:
            file.write(header.ljust(116) + bytes(8) + b"\x00\x02IM")
        return path

    return write


@pytest.fixture(scope="session")
def write_envi() -> Callable[..., Path]:
    """A function ``(path, values, interleave, **fields) -> path.hdr``; names of fields have _ for blanks."""

    def write(
        path: Path,
        values: NDArray[Any],
        interleave: str = "bsq",
        *,
        ending: str = ".img",
        swapped: bool = False,
        offset: int = 0,
        **fields: Any,
    ) -> Path:
        cube = values if values.ndim == 3 else values[:, :, None]
        rows, cols, bands = cube.shape
        stored = np.ascontiguousarray(cube.transpose(_ENVI_ORDERS[interleave]))
        stored = stored.astype(stored.dtype.newbyteorder(">" if swapped else "<"))
        path.with_suffix(ending).write_bytes(b"x" * offset + stored.tobytes())
        lines = {
            "samples": cols, "lines": rows, "bands": bands, "header offset": offset,
            "file type": "ENVI Standard", "data type": _ENVI_TYPES[cube.dtype.name],
            "interleave": interleave, "byte order": int(swapped),
            **{name.replace("_", " "): _envi_value(value) for name, value in fields.items()},
        }  # fmt: skip
        header = path.with_suffix(".hdr")
        header.write_text("ENVI\n" + "".join(f"{name} = {value}\n" for name, value in lines.items()))
        return header

    return write


def _envi_value(value: Any) -> str:
    """Write a list over several lines, as ENVI does."""
    return value if isinstance(value, str) else "{" + ",\n ".join(map(str, value)) + "}"


@pytest.fixture(scope="session")
def write_geotiff() -> Callable[..., Path]:
    """A function ``(path, values, place, **options) -> path``; `place` is a georeference, or None."""

    def write(path: Path, values: NDArray[Any], place: dict[str, Any] | None = None, **options: Any) -> Path:
        bands = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
        where = {"crs": place["crs"], "transform": rasterio.Affine(*place["transform"])} if place else {}
        size = {"count": bands.shape[0], "height": bands.shape[1], "width": bands.shape[2]}
        with (
            warnings.catch_warnings(action="ignore"),
            rasterio.open(
                path, "w", driver="GTiff", dtype=bands.dtype.name, **size, **where, **options
            ) as file,
        ):
            file.write(bands)
        return path

    return write


@dataclass
class Server:
    """A server whose behaviour is set by path: ``/whole/x``, ``/cut/x``, ``/forbidden/x`` and so on."""

    url: str
    files: dict[str, bytes]
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    away: str = ""


def _make_handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            server.requests.append((self.path, wanted))
            _, mode, name = self.path.split("/")
            body = server.files[name]
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            if mode == "forbidden":
                self._answer(403, HTML, {"Content-Type": "text/html; charset=utf-8"})
            elif mode == "page":
                self._answer(200, HTML, {"Content-Type": "text/html"})
            elif mode == "wrong":
                self._answer(200, body[::-1], {})
            elif mode == "away":
                self._answer(302, b"", {"Location": server.away})
            elif mode == "endless":
                self.close_connection = True
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):
                    while True:
                        self.wfile.write(body)
            elif mode == "norange":
                self._answer(200, body, {})
            elif mode == "misplaced" and wanted:
                self._answer(206, body, {"Content-Range": f"bytes 0-{len(body) - 1}/{len(body)}"})
            elif mode == "nolength":
                self.close_connection = True
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body[: len(body) // 2])
            elif start >= len(body):
                self._answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
            else:
                step = len(body) // 3 + 1 if mode in ("cut", "misplaced") else len(body)
                if mode == "stuck" and start:
                    step = 0
                status = 206 if wanted else 200
                headers = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if wanted else {}
                if mode == "stuck" and not start:
                    step = len(body) // 2
                self._answer(status, body[start:], headers, sent=step)

        def _answer(
            self, status: int, body: bytes, headers: dict[str, str], *, sent: int | None = None
        ) -> None:
            self.close_connection = True
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body[:sent])

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output clean."""

    return Handler


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server with a small cube and its labels."""
    folder = tmp_path_factory.mktemp("served")
    random = np.random.default_rng(0)
    savemat(folder / "cube.mat", {"cube": random.integers(0, 9000, (60, 60, 20)).astype(np.uint16)})
    savemat(folder / "gt.mat", {"gt": random.integers(0, 3, (60, 60)).astype(np.uint8)})
    files = {name: (folder / name).read_bytes() for name in ("cube.mat", "gt.mat")}
    state = Server("", files)
    http = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(state))
    state.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield state
    http.shutdown()
    http.server_close()


@pytest.fixture
def make_scene(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SceneEntry]:
    """A function that puts a scene into the table whose cube comes from the given kinds of mirror."""

    def make(*modes: str, verified: bool = True) -> SceneEntry:
        def file(name: str, kinds: tuple[str, ...]) -> SceneFile:
            body = server.files[name]
            return SceneFile(
                name,
                (name[:-4],),
                sha256=hashlib.sha256(body).hexdigest() if verified else "",
                size=len(body) if verified else None,
                urls=tuple(kind if "://" in kind else f"{server.url}/{kind}/{name}" for kind in kinds),
            )

        entry = SceneEntry(
            "toy",
            "Toy",
            source="https://example.org/toy",
            cube=file("cube.mat", modes),
            labels=file("gt.mat", ("whole",)),
        )
        table = {known.name: known for known in list_scenes() if known.name != "toy"}
        monkeypatch.setattr(catalogue, "_entries", {**table, "toy": entry})
        monkeypatch.setattr(download, "_TIMEOUT_S", (2.0, 5.0))
        return entry

    return make
