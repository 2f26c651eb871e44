"""Whether another machine sees the same run and the same scene under the same names.

The tiles of a scene as tasks of Ray: any machine may do any of them, again if its machine goes away.
"""

from __future__ import annotations

import hashlib
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hsi.cluster.connect import RETRIES, Machine, choose_device, in_words, share
from hsi.cluster.shared_folder import SharedFolder, here
from hsi.datasets.cube import Cube, CubeView, held_bytes
from hsi.datasets.formats.geotiff import GeoTiffCube
from hsi.datasets.scene import Scene
from hsi.errors import ClusterError, HsiError
from hsi.inference.classify import TileClassifier
from hsi.inference.predict import BATCH
from hsi.inference.run import Run
from hsi.inference.scene_map import SceneSource
from hsi.inference.tiles import Window
from hsi.runs.checkpoint import BEST
from hsi.sweep.workers import PROCESS_MB

FILES = ("config.toml", "preprocess.npz", "split.npz", f"checkpoint/{BEST}")
SAMPLES = 64
"""So many, spread over the scene, are looked at: our decision. A strip is larger than what can be read."""
PIECE = 4096
"""Bytes of a sample of a packed file."""


def fingerprint(run: Run, scene: Scene) -> str:
    """Return a hash of what a map is made from: files of the run, and a sample of the scene's values."""
    digest = hashlib.sha256()
    for name in FILES:
        digest.update((run.path / name).read_bytes())
    cube = scene.cube
    digest.update(f"{cube.shape} {cube.dtype} {scene.wavelengths_nm}".encode())
    for sample in _samples(cube):
        digest.update(sample)
    return digest.hexdigest()


def _samples(cube: Cube) -> Iterator[bytes]:
    """Yield the values of some pixels; of a packed file some of its bytes, as pixels take long to unpack."""
    whole = cube
    while isinstance(cube, CubeView):
        cube = cube.base
    if isinstance(cube, GeoTiffCube):
        length = cube.path.stat().st_size
        yield str(length).encode()
        with cube.path.open("rb") as file:
            for start in np.linspace(0, length, SAMPLES, endpoint=False).astype(np.int64):
                file.seek(int(start))
                yield file.read(PIECE)
        return
    for pixel in np.linspace(0, whole.shape[0] * whole.shape[1] - 1, SAMPLES).astype(np.int64):
        row, col = divmod(int(pixel), whole.shape[1])
        yield np.ascontiguousarray(whole[row, col]).tobytes()


AHEAD = 2
"""Tiles for each place that are given out before the first of them is written: our decision. It bounds what
finished tiles take in memory, and lets machines go on while one is late."""

Answer = tuple[NDArray[np.float32], NDArray[np.bool_]]


@dataclass(frozen=True)
class Work:
    """What a machine is told once: what to open, and how."""

    source: SceneSource
    shared: SharedFolder
    fingerprint: str
    resample: bool
    device: str
    threads: int
    at_once: int


@lru_cache(maxsize=1)
def _opened(work: Work) -> TileClassifier:
    """Open run and scene once in each process; a cube that is not read whole is not there either."""
    work.shared.enter()
    torch.set_num_threads(work.threads)
    run = work.source.open_run()
    scene = work.source.load_scene(run)
    if fingerprint(run, scene) != work.fingerprint:
        raise ClusterError("The run or the scene is another one there; all machines must share their folder.")
    return run.tile_classifier(scene, resample=work.resample, device=work.device, at_once=work.at_once)


def classify_there(work: Work, tile: Window) -> Answer:
    """Return logits ``(h, w, classes)`` of a tile, and which pixels have no data, on this machine.

    Raises
    ------
    ClusterError
        When the run or the scene cannot be opened here, or are others.
    """
    try:
        return _opened(work)(tile)
    except (HsiError, OSError) as error:
        raise ClusterError(f"On the machine {socket.gethostname()}: {error}") from None


class RayTiles:
    """What `hsi.inference.scene_map.map_scene` takes to classify a scene on the Ray cluster that was joined.

    Tiles come in their order, so the map is written as by one process. Each has the same bits wherever it is
    made as long as machines are of one kind: on the CPU, rounding depends on the processor and its threads.

    Parameters
    ----------
    source
        How machines open run and scene; it must name those that `map_scene` is given.
    machines
        See `hsi.cluster.connect.connected`.
    tell
        Told in a sentence where the work is done.
    at_once
        As in `Run.classify`; measured here, and the same on all machines.
    """

    def __init__(
        self,
        source: SceneSource,
        machines: Sequence[Machine],
        tell: Callable[[str], None] = lambda text: None,
        at_once: int | None = None,
    ) -> None:
        self._source, self._machines, self._tell, self._at_once = source, machines, tell, at_once

    def __call__(
        self, run: Run, scene: Scene, /, *, resample: bool, device: str, budget: int
    ) -> Iterator[tuple[Window, NDArray[np.float32], NDArray[np.bool_]]]:
        """Yield each tile in order: its window, logits ``(h, w, classes)``, and which pixels have no data.

        Raises
        ------
        RunError
            When the scene has other bands than the run.
        ClusterError
            When a machine cannot do its part, or too many went away.
        """
        import ray

        where = choose_device(device, self._machines)
        tiles = run.blocks(scene, resample=resample).tiles(len(run.metrics["class_names"]), budget)
        need_mb = PROCESS_MB + (held_bytes(scene.cube) + 2 * budget) / 2**20
        places = share(self._machines, None, len(tiles), need_mb, device=where)
        self._tell(f"{len(tiles)} tiles, {places.why}.")
        at_once = self._at_once or self._measured(run, scene, resample, where)
        work = Work(self._source, here(), fingerprint(run, scene), resample, where, places.threads, at_once)
        # A process that was once told stays, with its network on its GPU.
        task = ray.remote(max_calls=0)(classify_there).options(
            name="tile",
            num_cpus=places.threads,
            num_gpus=int(where == "cuda"),
            memory=int(min(need_mb, max(each.memory_mb for each in self._machines)) * 2**20),
            max_retries=RETRIES,
        )
        told = ray.put(work)
        coming = iter(tiles)
        going = deque((tile, task.remote(told, tile)) for tile in islice(coming, AHEAD * places.count))
        try:
            while going:
                tile, answer = going[0]
                logits, missing = _answer(answer)
                yield tile, logits, missing
                going.popleft()
                going.extend((following, task.remote(told, following)) for following in islice(coming, 1))
        finally:
            if ray.is_initialized():  # else the cluster was left, and has ended them
                for _, answer in going:
                    ray.cancel(answer, force=True)

    def _measured(self, run: Run, scene: Scene, resample: bool, where: str) -> int:
        if where == "cuda" and not torch.cuda.is_available():  # on the machines alone
            return BATCH
        return run.tile_classifier(scene, resample=resample, device=where).at_once


def _answer(task: Any) -> Answer:
    import ray

    try:
        logits, missing = ray.get(task)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, ClusterError):
            raise ClusterError(str(cause)) from None
        raise ClusterError(f"A tile could not be made: {in_words(error)}") from None
    return logits, missing
