"""A small slow local mirror, in a process of its own, with a scene to download."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from hsi.datasets.catalogue import entries as catalogue
from hsi.datasets.catalogue.entries import SceneEntry, SceneFile, list_scenes

NAME = "torture"
CHUNK, PAUSE_S = 1 << 15, 0.004


def _files() -> dict[str, bytes]:
    random = np.random.default_rng(0)
    made = {}
    for name, size in (("cube.mat", 700_000), ("gt.mat", 90_000)):
        made[name] = b"MATLAB 5.0 MAT-file, torture".ljust(124) + b"\x00\x01IM" + random.bytes(size)
    return made


@contextmanager
def mirror() -> Iterator[dict[str, bytes]]:
    """Serve the scene and add it to the catalogue; yield its files."""
    files = _files()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(files))
    pid = os.fork()
    if pid == 0:
        http.serve_forever(0.05)
    port = http.server_address[1]
    http.socket.close()
    list_scenes()
    before = dict(catalogue._entries)
    catalogue._entries[NAME] = _entry(files, f"http://127.0.0.1:{port}")
    try:
        yield files
    finally:
        catalogue._entries.clear()
        catalogue._entries.update(before)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _entry(files: dict[str, bytes], url: str) -> SceneEntry:
    cube, labels = (
        SceneFile(
            name,
            (name[:-4],),
            sha256=hashlib.sha256(body).hexdigest(),
            size=len(body),
            urls=(f"{url}/{name}",),
        )
        for name, body in files.items()
    )
    return SceneEntry(NAME, "Torture", source="https://example.org", cube=cube, labels=labels)


def _handler(files: dict[str, bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = files[self.path.strip("/")]
            partial = self.headers.get("Range")
            start = int(partial.removeprefix("bytes=").removesuffix("-")) if partial else 0
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if partial else 200)
            self.send_header("Content-Length", str(len(body) - start))
            if partial:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.end_headers()
            try:
                for first in range(start, len(body), CHUNK):
                    self.wfile.write(body[first : first + CHUNK])
                    time.sleep(PAUSE_S)
            except ConnectionError:
                pass  # the client was killed

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    return Handler
