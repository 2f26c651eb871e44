"""`hsi map --engine ray` on a real cluster: a machine is killed, and the map has the same bytes."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import time
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import hsi
from hsi.cluster.connect import connected
from hsi.cluster.remote_tiles import FILES, RayTiles, fingerprint
from hsi.commands.app import run as command
from hsi.datasets.load import load_unlabelled
from hsi.errors import ClusterError
from hsi.inference.scene_map import SceneSource

CUBE = np.random.default_rng(0).integers(0, 999, (30, 40, 5)).astype(np.uint16)


@pytest.fixture
def run(tmp_path):
    """What is asked of a run here: its folder and the files in it."""
    for name in FILES:
        path = tmp_path / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return SimpleNamespace(path=tmp_path / "run")


def write(path, cube, no_data=None):
    """Write a scene in the format of the name's ending; return it opened."""
    if path.suffix == ".npy":
        np.save(path, cube)
    else:
        rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")
        size = {"height": cube.shape[0], "width": cube.shape[1], "count": cube.shape[2], "dtype": "uint16"}
        place = rasterio.Affine(2, 0, 0, 0, -2, 0)
        with rasterio.open(path, "w", driver="GTiff", nodata=no_data, transform=place, **size) as file:
            file.write(cube.transpose(2, 0, 1))
    return load_unlabelled(path)


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_the_same_again_and_what_differs(tmp_path, run, suffix):
    scene = write(tmp_path / f"a{suffix}", CUBE)
    first = fingerprint(run, scene)
    assert fingerprint(run, load_unlabelled(tmp_path / f"a{suffix}")) == first
    (tmp_path / "there").mkdir()
    assert fingerprint(run, write(tmp_path / "there" / f"a{suffix}", CUBE)) == first
    assert fingerprint(run, write(tmp_path / f"b{suffix}", CUBE + 1)) != first
    assert fingerprint(run, write(tmp_path / f"c{suffix}", CUBE[:-1])) != first
    assert fingerprint(run, replace(scene, wavelengths_nm=np.arange(5.0))) != first
    (run.path / FILES[0]).write_text("another")
    assert fingerprint(run, scene) != first


def test_a_value_for_no_data_differs_from_none(tmp_path, run):
    first = fingerprint(run, write(tmp_path / "a.tif", CUBE))
    assert fingerprint(run, write(tmp_path / "b.tif", CUBE, no_data=7)) != first
    again = fingerprint(run, write(tmp_path / "c.tif", CUBE, no_data=7))
    assert again == fingerprint(run, load_unlabelled(tmp_path / "b.tif"))


SUFFIX = ".tif" if importlib.util.find_spec("rasterio") else ".npy"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on the generated scene, and that scene nine times over as a larger one."""
    path = tmp_path_factory.mktemp("map")
    made = hsi.train(model="cnn1d", dataset="demo", patch=7, epochs=1, device="cpu", out=path / "run")
    cube = hsi.load_scene("demo").cube
    assert made.metrics["bands"] == cube.shape[2]
    np.save(path / "strip.npy", np.tile(cube, (3, 3, 1)))
    return path


@contextmanager
def others_busy(folder, count, wait_until):
    """Keep so many machines busy with nothing until the yielded function is called."""
    import ray

    def wait(number):
        (folder / f"busy{number}").touch()
        while not (folder / "free").exists():
            time.sleep(0.02)

    tasks = [ray.remote(num_cpus=1)(wait).remote(number) for number in range(count)]
    wait_until(lambda: len(list(folder.glob("busy*"))) == count)
    yield (folder / "free").touch
    ray.get(tasks)


def test_a_map_loses_a_machine_and_has_the_same_bytes(add_victim, folder, tmp_path, wait_until):
    source = SceneSource(folder / "run", str(folder / "strip.npy"))
    run = source.open_run()
    scene = source.load_scene(run)
    options = {"proba": True, "device": "cpu", "budget": 1}  # tiles as small as can be
    here = hsi.map_scene(run, scene, folder / f"here{SUFFIX}", **options)
    messages, done = [], []

    with connected() as machines, others_busy(tmp_path, len(machines), wait_until) as free_others:
        assert len(machines) == 2
        victim = add_victim()  # now the first tiles can only be its

        def watch(pixels, whole):
            done.append(pixels)
            if len(done) == 1:
                victim.kill()
                free_others()

        classify = RayTiles(source, [*machines, machines[0]], messages.append)
        there = hsi.map_scene(
            run, scene, folder / f"there{SUFFIX}", classify=classify, watch=watch, **options
        )
    assert len(done) >= 8
    assert messages == [f"{len(done)} tiles, 3 at a time on 3 machines of a Ray cluster."]
    assert there.counts == here.counts
    for kind in ("map", "proba"):
        assert there.files[kind].read_bytes() == here.files[kind].read_bytes()


def test_the_command_and_a_scene_that_others_do_not_see(cluster, folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    assert command(["map", "run", "--out", "a.npy", "--confidence", "--device", "cpu"]) == 0
    capfd.readouterr()
    words = ["map", "run", "--out", "b.npy", "--confidence", "--device", "cpu", "--engine", "ray", "--json"]
    assert command(words) == 0
    assert json.loads(capfd.readouterr().out)["files"]["map"] == "b.npy"
    for kind in ("", "-confidence"):
        assert (folder / f"a{kind}.npy").read_bytes() == (folder / f"b{kind}.npy").read_bytes()

    opened = hsi.open_run("run")
    scene = hsi.load_scene("demo")
    scene.cube[0, 0, 0] += 1
    before = set(folder.iterdir())
    with connected() as machines:
        classify = RayTiles(SceneSource(opened.path), machines)
        with pytest.raises(ClusterError, match="another one there"):
            hsi.map_scene(opened, scene, "c.npy", device="cpu", classify=classify)

        def stop(done, pixels):
            os.kill(os.getpid(), signal.SIGINT)

        scene.cube[0, 0, 0] -= 1
        with pytest.raises(KeyboardInterrupt):
            hsi.map_scene(opened, scene, "c.npy", device="cpu", budget=1, classify=classify, watch=stop)
    assert set(folder.iterdir()) == before
