"""Tiles of a scene classified as Ray tasks, by machines that verify that they open the same run and scene."""

from __future__ import annotations

import hashlib
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hsi.cluster.connect import RETRIES, Machine, choose_device, cluster_workers, error_line
from hsi.cluster.shared_folder import SharedFolder, working_folder
from hsi.datasets.cube import Cube, CubeView, Window, memory_bytes
from hsi.datasets.formats.raster_cube import RasterCube
from hsi.datasets.formats.rasters import raster_files
from hsi.datasets.scene import Scene
from hsi.errors import ClusterError, HsiError
from hsi.inference.classify import TileClassifier
from hsi.inference.predict import BATCH
from hsi.inference.run import Run
from hsi.inference.scene_map import SceneSource
from hsi.runs.checkpoint import BEST
from hsi.sweep.workers import PROCESS_MB

FILES = ("config.toml", "preprocess.npz", "split.npz", f"checkpoint/{BEST}")
SAMPLES = 64  # pixels, or pieces of a compressed file, in a fingerprint: a whole strip takes too long to read
SAMPLE_BYTES = 4096  # of one piece


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
    """Yield values of pixels spread over the scene; of a raster some bytes of its files, not decompressed."""
    whole = cube
    while isinstance(cube, CubeView):
        cube = cube.base
    if isinstance(cube, RasterCube) and cube.path.is_file():
        for path in raster_files(cube.path):
            length = path.stat().st_size
            yield str(length).encode()
            with path.open("rb") as file:
                for start in np.linspace(0, length, SAMPLES, endpoint=False).astype(np.int64):
                    file.seek(int(start))
                    yield file.read(SAMPLE_BYTES)
        return
    for pixel in np.linspace(0, whole.shape[0] * whole.shape[1] - 1, SAMPLES).astype(np.int64):
        row, col = divmod(int(pixel), whole.shape[1])
        yield np.ascontiguousarray(whole[row, col]).tobytes()


PREFETCH = 2
"""Tiles submitted ahead for each worker: bounds the memory of finished tiles, and keeps machines busy while
one tile is late."""

TileResult = tuple[NDArray[np.float32], NDArray[np.bool_]]


@dataclass(frozen=True)
class TileJob:
    """What all tiles of a map have in common: what to open, and how."""

    source: SceneSource
    shared: SharedFolder
    fingerprint: str
    resample: bool
    device: str
    threads: int
    batch_size: int


@lru_cache(maxsize=1)
def _open_classifier(job: TileJob) -> TileClassifier:
    """Open run and scene, once in each process."""
    job.shared.enter()
    torch.set_num_threads(job.threads)
    run = job.source.open_run()
    scene = job.source.load_scene(run)
    if fingerprint(run, scene) != job.fingerprint:
        raise ClusterError("The run or the scene is another one there; all machines must share their folder.")
    return run.tile_classifier(scene, resample=job.resample, device=job.device, batch_size=job.batch_size)


def classify_tile(job: TileJob, tile: Window) -> TileResult:
    """Return logits ``(h, w, classes)`` of a tile, and which pixels have no data, on this machine.

    Raises
    ------
    ClusterError
        When the run or the scene cannot be opened here, or has another fingerprint.
    """
    try:
        return _open_classifier(job)(tile)
    except (HsiError, OSError) as error:
        raise ClusterError(f"On the machine {socket.gethostname()}: {error}") from None


class RayTiles:
    """Classifies a scene on the joined Ray cluster, as the argument of `hsi.inference.scene_map.map_scene`.

    Tiles come in order, so the map is written as by one process. It is the same to the bit if machines are of
    one kind: on a CPU, rounding depends on the processor and the number of threads.

    Parameters
    ----------
    source
        How machines open run and scene: those that `map_scene` is given.
    machines
        See `hsi.cluster.connect.connected`.
    message
        Called with a sentence about the number of tiles and machines.
    batch_size
        As in `Run.classify`; measured here, and the same on all machines.
    """

    def __init__(
        self,
        source: SceneSource,
        machines: Sequence[Machine],
        message: Callable[[str], None] = lambda text: None,
        batch_size: int | None = None,
    ) -> None:
        self._source, self._machines, self._message, self._batch_size = source, machines, message, batch_size

    def __call__(
        self, run: Run, scene: Scene, /, *, resample: bool, device: str, budget: int
    ) -> Iterator[tuple[Window, NDArray[np.float32], NDArray[np.bool_]]]:
        """Yield each tile in order: its window, logits ``(h, w, classes)``, and which pixels have no data.

        Raises
        ------
        RunError
            When the scene has other bands than the run.
        ClusterError
            When a tile fails, or its machine was lost more than `RETRIES` times.
        """
        import ray

        where = choose_device(device, self._machines)
        tiles = run.blocks(scene, resample=resample).tiles(len(run.metrics["class_names"]), budget)
        need_mb = PROCESS_MB + (memory_bytes(scene.cube) + 2 * budget) / 2**20
        places = cluster_workers(self._machines, None, len(tiles), need_mb, device=where)
        self._message(f"{len(tiles)} tiles, {places.why}.")
        batch_size = self._batch_size or self._measured(run, scene, resample, where)
        same = fingerprint(run, scene)
        source = replace(self._source, run=run.path)
        job = TileJob(source, working_folder(), same, resample, where, places.threads, batch_size)
        # Worker processes are kept, with the network on their GPU.
        task = ray.remote(max_calls=0)(classify_tile).options(
            name="tile",
            num_cpus=places.threads,
            num_gpus=int(where == "cuda"),
            memory=int(min(need_mb, max(each.memory_mb for each in self._machines)) * 2**20),
            max_retries=RETRIES,
        )
        shared_job = ray.put(job)
        waiting = iter(tiles)
        submitted = deque(
            (tile, task.remote(shared_job, tile)) for tile in islice(waiting, PREFETCH * places.count)
        )
        try:
            while submitted:
                tile, reference = submitted[0]
                logits, missing = _result(reference)
                yield tile, logits, missing
                submitted.popleft()
                submitted.extend(
                    (following, task.remote(shared_job, following)) for following in islice(waiting, 1)
                )
        finally:
            if ray.is_initialized():  # else leaving the cluster has ended them
                for _, reference in submitted:
                    ray.cancel(reference, force=True)

    def _measured(self, run: Run, scene: Scene, resample: bool, where: str) -> int:
        if where == "cuda" and not torch.cuda.is_available():  # only the other machines have one
            return BATCH
        return run.tile_classifier(scene, resample=resample, device=where).batch_size


def _result(reference: Any) -> TileResult:
    import ray

    try:
        logits, missing = ray.get(reference)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, ClusterError):
            raise ClusterError(str(cause)) from None
        raise ClusterError(f"A tile could not be made: {error_line(error)}") from None
    return logits, missing
